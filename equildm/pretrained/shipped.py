"""Models that come with this package, opened by their names."""

import os
from pathlib import Path

from ..runtime import local_folder

SHIPPED = {"emoji": Path(__file__).parent / "emoji"}
"""Folder of each model."""


def model_path(path: str | os.PathLike[str]) -> Path:
    """Where the files of a model lie on this machine.

    An address is copied to here. The name of a shipped model is its folder in this package, unless
    the current folder holds a file or folder of that name.
    """
    path = local_folder(path)
    return path if path.exists() else SHIPPED.get(str(path), path)
