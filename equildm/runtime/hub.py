"""Repositories of the Hugging Face Hub, read at one commit."""

from typing import Any


def pinned_address(address: str) -> str:
    """An address of a Hub repository, at the commit that its revision names now.

    `hf://datasets/USER/NAME/a.parquet` becomes `hf://datasets/USER/NAME@<commit>/a.parquet`: a push
    to the repository cannot change what is being read, and no read has to ask whether one did.
    Other addresses, and buckets of the Hub, stay as they are.

    **Raises** `ValueError` if there is no such repository or revision, none that you may read,
    or no answer.
    """
    if not address.startswith("hf://") or address.startswith("hf://buckets/"):
        return address
    from fsspec.core import url_to_fs
    from huggingface_hub import HfApi

    fs: Any = url_to_fs(address)[0]
    api = HfApi(endpoint=fs.endpoint, token=fs.token)
    try:
        place = fs.resolve_path(address)
        info = api.repo_info(place.repo_id, repo_type=place.repo_type, revision=place.revision)
    except OSError as error:
        raise ValueError(
            "An address of the Hugging Face Hub must be of a repository and revision that you may "
            f"read; got {address}: {str(error).splitlines()[0]} Check the spelling and the "
            "network, or log in with `hf auth login`."
        ) from error
    return f"hf://{place.repo_type}s/{place.repo_id}@{info.sha}/{place.path_in_repo}".rstrip("/")
