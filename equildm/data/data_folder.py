"""Folders whose files or sub-folders are named by their split."""

import logging
import re
from collections.abc import Collection, Sequence

from ..runtime.address import FilePath

_log = logging.getLogger("equildm.data")

DATA = "data"

_WORDS = r"train(?:ing)?|test(?:ing)?|eval|evaluation|val(?:id|idation)?|dev"
_SPLIT = re.compile(rf"(?:^|[-._])({_WORDS})(?=[-._0-9]|$)", re.IGNORECASE)
_FOLDER = re.compile(_WORDS, re.IGNORECASE)


def warn_of_splits(folder: FilePath, folders: Collection[str]) -> None:
    """Logs that all folders in `folder` are named by a split: all their images are used."""
    if len(folders) > 1 and all(map(_FOLDER.fullmatch, folders)):
        text = "%s holds the folders of several splits, and all are used: %s. Name one for it alone"
        _log.warning(text, folder, ", ".join(sorted(folders)))


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
