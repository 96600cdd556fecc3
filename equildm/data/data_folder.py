"""The folder `data` of a repository, whose files are named by their split."""

import re
from collections.abc import Sequence

from ..runtime.address import FilePath

DATA = "data"

_SPLIT = re.compile(
    r"(?:^|[-._])(train(?:ing)?|test(?:ing)?|eval|evaluation|val(?:id|idation)?|dev)(?=[-._0-9]|$)",
    re.IGNORECASE,
)


def data_files(folder: FilePath, files: Sequence[str]) -> list[str]:
    """The files of `folder/data`, which must be of one split.

    Splits are read from names, such as `train-00000-of-00002.parquet`.

    **Raises** `ValueError` for files of several splits.
    """
    splits: dict[str, str] = {}
    for file in files:
        name = file.rpartition("/")[2]
        if match := _SPLIT.search(name):
            splits.setdefault(match[1], f"{name[: match.end(1)]}*.{name.rpartition('.')[2]}")
    if len(splits) > 1:
        choices = " or ".join(repr(f"{folder}/{DATA}/{pattern}") for pattern in splits.values())
        raise ValueError(
            f"A data set must be one split; {str(folder)!r} holds {', '.join(splits)}. "
            f"Name the files of one: {choices}."
        )
    return list(files)
