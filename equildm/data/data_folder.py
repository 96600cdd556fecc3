"""Folders whose files or sub-folders are named by their split."""

import re
from collections.abc import Collection, Sequence

from ..runtime.address import FilePath

DATA = "data"

_WORDS = r"train(?:ing)?|test(?:ing)?|eval|evaluation|val(?:id|idation)?|dev"
_SPLIT = re.compile(rf"(?:^|[-._])({_WORDS})(?=[-._0-9]|$)", re.IGNORECASE)
_FOLDER = re.compile(_WORDS, re.IGNORECASE)


def check_one_split(folder: FilePath, names: Collection[str], folders: Collection[str]) -> None:
    """Refuses a folder that holds nothing but the folders of several splits.

    **Arguments:**

    - `folder`: where they lie.
    - `names`: all that lies there, but for hidden files.
    - `folders`: which of them are folders.

    **Raises** `ValueError`.
    """
    if len(folders) > 1 and len(folders) == len(names) and all(map(_FOLDER.fullmatch, folders)):
        choices = " or ".join(repr(f"{folder}/{name}") for name in sorted(folders))
        raise ValueError(
            f"A data set must be one split; {str(folder)!r} holds {', '.join(sorted(folders))}. "
            f"Name the folder of one: {choices}."
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
