"""A folder of images: captions in `metadata.jsonl`, beside images, or names of class folders."""

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, final, NamedTuple

import numpy as np
from jaxtyping import UInt8

from .classes import class_caption
from .decode import decode_image, IMAGE_SUFFIXES
from .source import AbstractSource, clean_caption, digest, UnusableSample

_log = logging.getLogger("equildm.data")

METADATA = "metadata.jsonl"
CAPTION_COLUMNS = ("text", "caption")


class _Entry(NamedTuple):
    name: str
    path: Path | None  # None: a line of metadata that names no file
    caption: object  # None: look beside the image


@final
class FolderSource(AbstractSource):
    """The images under `folder`, at any depth, in the order of their paths.

    Captions come from `metadata.jsonl` files in the format of the `datasets` library's imagefolder:
    one JSON object a line with `file_name` (relative to the file's own folder) and `text` or
    `caption` (or `caption_column`). The caption of an image without a line comes from the `.txt`
    file of the same stem.

    Where there is no metadata and no such file at all, but two or more sub-folders with images, as
    in `cat/1.png` and `dog/2.png`, they are classes: an image's caption is the name of the folder
    that it lies in, with spaces for underscores. The log says so.

    **Arguments:**

    - `folder`: path of the folder.
    - `caption_column`: field of the captions in the metadata.
    - `class_folders`: whether sub-folders may be classes.

    **Raises** `ValueError` if there are no images, or if no line of the metadata has a caption
    column.
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
        files = sorted(_files(self._folder))
        identities = {path: identity for path, *identity in files}
        rows: list[tuple[Path, dict[str, Any]]] = []
        entries: list[_Entry] = []
        for path in identities:
            if path.name == METADATA:
                for number, row in _rows(path):
                    if isinstance(row, dict) and isinstance(row.get("file_name"), str):
                        rows.append((path.parent / row["file_name"], row))
                    else:
                        entries.append(_Entry(f"{self._relative(path)}:{number}", None, None))
        column = _caption_column([row for _, row in rows], caption_column)
        captions = {path: row.get(column) for path, row in rows}
        images = [path for path in identities if path.suffix.lower() in IMAGE_SUFFIXES]
        is_labelled = class_folders and not (rows or entries)
        classes = _classes(self._folder, images, set(identities)) if is_labelled else {}
        captions |= classes
        # Files that the metadata names and the folder lacks are entries, to be counted when they
        # are read.
        for path in sorted({*images, *captions}):
            entries.append(_Entry(self._relative(path), path, captions.get(path)))
        if not entries:
            raise ValueError(
                f"An image folder must hold images ({', '.join(IMAGE_SUFFIXES)}); "
                f"{str(folder)!r} holds none. Check the path."
            )
        self._entries = entries
        self._fingerprint = digest(
            [
                "class folders" if classes else "folder",
                column,
                *((self._relative(path), *rest) for path, *rest in files),
            ]
        )

    def _relative(self, path: Path) -> str:
        return os.path.relpath(path, self._folder)

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def __len__(self) -> int:
        return len(self._entries)

    def name(self, index: int) -> str:
        return self._entries[index].name

    def caption(self, index: int) -> str:
        name, path, caption = self._entries[index]
        if path is None:
            raise UnusableSample("unreadable record", name, "not a JSON object with a file_name")
        if caption is None and (beside := path.with_suffix(".txt")).is_file():
            caption = beside.read_text("utf-8", errors="replace")
        return clean_caption(caption, name)

    def image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        name, path, _ = self._entries[index]
        if path is None:
            raise UnusableSample("unreadable record", name, "not a JSON object with a file_name")
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UnusableSample("unreadable record", name, error.strerror or "") from error
        return decode_image(data, name)


def _files(folder: Path) -> Iterator[tuple[Path, int, int]]:
    """Every file below, with its size and time of change, without hidden ones."""
    for entry in os.scandir(folder):
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):  # a link upwards would never end
            yield from _files(Path(entry.path))
        elif entry.is_file():
            status = entry.stat()
            yield Path(entry.path), status.st_size, status.st_mtime_ns


def _classes(root: Path, images: list[Path], files: set[Path]) -> dict[Path, str]:
    """The class of each image in a sub-folder; none where images have captions beside them."""
    if any(path.with_suffix(".txt") in files for path in images):
        return {}
    classes = {path: class_caption(path.parent.name) for path in images if path.parent != root}
    names = sorted(set(classes.values()))
    if len(names) < 2:
        return {}
    _log.warning(
        "%s has no captions but %d class folders: their names are the captions", root, len(names)
    )
    return classes


def _rows(path: Path) -> Iterator[tuple[int, object]]:
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except json.JSONDecodeError:
                    yield number, None


def _caption_column(rows: list[dict[str, Any]], requested: str | None) -> str:
    candidates = CAPTION_COLUMNS if requested is None else (requested,)
    for column in candidates:
        if any(column in row for row in rows):
            return column
    if rows:
        columns = sorted({key for row in rows for key in row})
        raise ValueError(
            f"The caption column must be in {METADATA}: looked for {' or '.join(candidates)}, "
            f"found {', '.join(columns)}. Pass caption_column."
        )
    return candidates[0]
