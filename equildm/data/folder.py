"""A folder of images: captions in `metadata.jsonl`, beside images, or names of class folders."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import final, NamedTuple

import numpy as np
from jaxtyping import UInt8

from .caption_text import clean_caption, decoded, printable
from .classes import class_caption
from .decode import IMAGE_SUFFIXES, stored_image
from .files import read_listed, read_mentioned
from .folder_files import alike, listed_files, METADATA, metadata_rows, Row
from .remarks import Remarks
from .source import AbstractSource, digest, READING, StoredImage, UnusableSample

_log = logging.getLogger("equildm.data")

CAPTION_COLUMNS = ("text", "caption")
CAPTION_SUFFIXES = (".txt", ".caption")
"""Of files beside images; where both are there, the first counts."""


class _Entry(NamedTuple):
    name: str
    path: Path | None  # None: a line of metadata that names no file
    caption: object  # a path: of the file that holds it
    is_listed: bool  # whether the file was there when the folder was opened


@final
class FolderSource(AbstractSource):
    """The images under `folder`, at any depth, in the order of their paths.

    Captions come from `metadata.jsonl` or `metadata.csv` files in the format of the `datasets`
    library's imagefolder: one JSON object a line with `file_name` (relative to the file's own
    folder) and `text` or `caption` (or `caption_column`). The caption of an image without a line
    comes from the `.txt` or `.caption` file of the same stem.

    Where there is no metadata and no such file at all, but two or more sub-folders with images, as
    in `cat/1.png` and `dog/2.png`, they are classes: an image's caption is the name of the folder
    that it lies in, with spaces for underscores. The log says so.

    Links to folders are followed once. Files that are not used are counted in `remarks`, and the
    log names the first ones.

    **Arguments:**

    - `folder`: path of the folder.
    - `caption_column`: field of the captions in the metadata.
    - `class_folders`: whether sub-folders may be classes.

    **Raises** `ValueError` if there are no images, or if no line of the metadata has a caption
    column; `OSError` where the system refuses to read it.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        caption_column: str | None = None,
        class_folders: bool = True,
    ):
        self._folder = Path(folder)
        if not self._folder.is_dir():
            raise ValueError(
                f"An image folder must be an existing directory; got {str(folder)!r}. "
                "Check the path."
            )
        self._remarks = Remarks(str(folder))
        files = listed_files(self._folder, self._remarks)
        paths = [file.path for file in files]
        tables = _tables(paths)
        rows = [row for path in tables for row in metadata_rows(path, self._folder)]
        column = _caption_column(rows, caption_column)
        images = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]
        captions = self._captions(rows, column, set(paths), images)
        beside = _beside(paths, images)
        classes: dict[Path, str] = {}
        if class_folders and not rows and not beside:
            classes = _classes(self._folder, images)
        captions = captions | classes
        self._entries = [_Entry(row.place, None, None, False) for row in rows if row.path is None]
        # Files that the metadata names and the folder lacks are entries, to be counted when they
        # are read.
        listed = set(paths)
        for path in sorted({*images, *captions}):
            caption = captions.get(path)
            caption = beside.get(path) if caption is None else caption
            self._entries.append(_Entry(self._relative(path), path, caption, path in listed))
        used = {*tables, *captions, *images}
        used |= {caption for _, _, caption, _ in self._entries if isinstance(caption, Path)}
        self._count_others([path for path in paths if path not in used])
        if not self._entries:
            raise ValueError(
                f"An image folder must hold images ({', '.join(IMAGE_SUFFIXES)}); "
                f"{str(folder)!r} holds none. Check the path."
            )
        self._fingerprint = digest(
            [
                "class folders" if classes else "folder",
                READING,
                column,
                *((self._relative(path), *rest) for path, *rest in files),
            ]
        )

    def _captions(
        self, rows: list[Row], column: str, files: set[Path], images: list[Path]
    ) -> dict[Path, object]:
        """What the metadata say of each file; of several lines for one, the first."""
        captions: dict[Path, object] = {}
        is_spelled = all(row.path is None or row.path in files for row in rows)
        similar: dict[str, list[Path]] = {}
        for image in () if is_spelled else images:
            similar.setdefault(alike(image), []).append(image)
        for place, named, fields in rows:
            if named is None:
                continue
            others = [] if named in files else similar.get(alike(named), [])
            path = others[0] if len(others) == 1 else named
            if path != named:
                self._remarks.add("file name that metadata spell differently, used", place)
            if path in captions:
                self._remarks.add("further line of metadata for one file, not used", place)
            else:
                captions[path] = fields.get(column)
        return captions

    def _count_others(self, paths: list[Path]) -> None:
        for path in paths:
            suffix = path.suffix.lower()
            kind = f"file ending in {printable(suffix)}" if suffix else "file without a suffix"
            if suffix in CAPTION_SUFFIXES:
                kind = f"{suffix} file that is no image's caption"
            self._remarks.add(f"{kind}, not used", self._relative(path))
        self._remarks.log()

    def _relative(self, path: Path) -> str:
        return printable(os.path.relpath(path, self._folder))

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def remarks(self) -> Remarks:
        return self._remarks

    def __len__(self) -> int:
        return len(self._entries)

    def name(self, index: int) -> str:
        return self._entries[index].name

    def caption(self, index: int) -> str:
        name, path, caption, _ = self._entries[index]
        if path is None:
            raise UnusableSample("unreadable record", name, "not a JSON object with a file_name")
        if isinstance(caption, Path):
            caption = decoded(read_listed(caption))
        return clean_caption(caption, name, self._remarks.of_sample(index, name))

    def image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        return self.stored(index).decode()

    def stored(self, index: int) -> StoredImage:
        name, path, _, is_listed = self._entries[index]
        if path is None:
            raise UnusableSample("unreadable record", name, "not a JSON object with a file_name")
        data = read_listed(path) if is_listed else read_mentioned(path, name)
        return stored_image(data, name, self._remarks.of_sample(index, name))


def _tables(paths: Iterable[Path]) -> list[Path]:
    """The metadata file of each folder that has one."""
    tables: dict[Path, Path] = {}
    for name in METADATA:
        for path in paths:
            if path.name == name:
                tables.setdefault(path.parent, path)
    return sorted(tables.values())


def _beside(paths: list[Path], images: list[Path]) -> dict[Path, Path]:
    """The caption file of each image that has one."""
    files = {(path.with_suffix(""), path.suffix.lower()): path for path in reversed(paths)}
    beside: dict[Path, Path] = {}
    for suffix in CAPTION_SUFFIXES:
        for image in images:
            if (path := files.get((image.with_suffix(""), suffix))) is not None:
                beside.setdefault(image, path)
    return beside


def _classes(root: Path, images: list[Path]) -> dict[Path, str]:
    """The class of each image in a sub-folder."""
    classes = {path: class_caption(path.parent.name) for path in images if path.parent != root}
    names = sorted(set(classes.values()))
    if len(names) < 2:
        return {}
    _log.warning(
        "%s has no captions but %d class folders: their names are the captions", root, len(names)
    )
    return classes


def _caption_column(rows: list[Row], requested: str | None) -> str:
    candidates = CAPTION_COLUMNS if requested is None else (requested,)
    for column in candidates:
        if any(column in row.fields for row in rows):
            return column
    columns = sorted({key for row in rows for key in row.fields})
    if columns:
        raise ValueError(
            f"The caption column must be in {METADATA[0]}: looked for {' or '.join(candidates)}, "
            f"found {', '.join(columns)}. Pass caption_column."
        )
    return candidates[0]
