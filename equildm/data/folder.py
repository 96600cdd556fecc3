"""A folder of images: captions in `metadata.jsonl`, beside images, or names of class folders."""

import logging
import os
from collections import deque
from collections.abc import Generator
from pathlib import Path
from typing import Any, final, NamedTuple

from ..runtime.address import file_path, FilePath
from ..runtime.remote import RemoteFolder
from .caption_text import BESIDE, clean_captions, decoded, printable
from .classes import class_caption
from .decode import IMAGE_SUFFIXES
from .file_source import AbstractFileSource
from .files import read_listed, read_mentioned
from .folder_files import CAPTION_SUFFIXES, ListedFile, Listing, parted
from .folder_lines import METADATA
from .folder_metadata import absolute, FolderMetadata, MatchedLines, MissingFile
from .folder_remote import RemoteListing
from .index_table import index_table
from .remarks import Remarks
from .source import Digest, READING, UnusableSample

_log = logging.getLogger("equildm.data")

INDEX = 1
"""Version of the table of files."""

_UNREADABLE = "no JSON object or row with a file_name; in CSV, texts with commas are in quotes"


class _Sample(NamedTuple):
    """A row of the table."""

    path: bytes | None  # None: a line of metadata that names no file
    line: int  # of the metadata, or -1
    beside: bytes | None  # name of the caption file
    is_listed: bool  # whether the file was there when the folder was read


@final
class FolderSource(AbstractFileSource):
    """The images under `folder`, at any depth, in the order of their paths.

    Captions come from `metadata.jsonl`, `metadata.csv` or `metadata.parquet` files in the format of
    the `datasets` library's imagefolder: one JSON object a line with `file_name` (relative to the
    file's own folder) and `text` or `caption` (or `caption_column`): a text, or a list of several.
    The caption of an image without a line comes from the `.txt` or `.caption` file of the same
    stem.

    Where there is no metadata and no such file at all, but two or more sub-folders with images, as
    in `cat/1.png` and `dog/2.png`, they are classes: an image's caption is the name of the folder
    that it lies in, with spaces for underscores. The log says so.

    Links to folders are followed once. Files that are not used are counted in `remarks`, and the
    log names the first ones. Each opening lists the folder, with sizes and times of change; what
    follows from the list is in an `index_table`. A folder may be at an address: images are then
    copied when they are read.

    **Arguments:**

    - `folder`: path or address of the folder.
    - `caption_column`: field of the captions in the metadata.
    - `class_folders`: whether sub-folders may be classes.

    **Raises** `ValueError` if there are no images, or if no line of the metadata has a caption
    column; `OSError` where the system refuses to read it.
    """

    def __init__(
        self,
        folder: str | FilePath,
        *,
        caption_column: str | None = None,
        class_folders: bool = True,
    ):
        self._folder = file_path(folder)
        if isinstance(self._folder, Path) and not self._folder.is_dir():
            raise ValueError(
                f"An image folder must be an existing directory; got {str(folder)!r}. "
                "Check the path."
            )
        remarks = Remarks(str(folder))
        self._listing = (
            Listing(self._folder)
            if isinstance(self._folder, Path)
            else RemoteListing(RemoteFolder(str(self._folder)))
        )
        self._class_folders = class_folders
        root = absolute(self._folder)
        summary = Digest(["files", INDEX, READING, root, caption_column, class_folders])
        listed: dict[str, ListedFile] = {}
        for file in self._listing.files():
            summary.add(file[:3])
            if os.path.basename(file.path) in METADATA:
                listed[file.path] = file
        tables = _chosen(listed)
        self._tables = {table.path for table in tables}
        self._metadata = FolderMetadata(self._folder, tables, caption_column)
        self._samples = index_table(
            summary.text(), str(folder), _schema(), lambda: self._scan(remarks)
        )
        remarks.restore(self._samples.about["remarks"])
        remarks.log()
        if len(self) == 0:
            raise ValueError(
                f"An image folder must hold images ({', '.join(IMAGE_SUFFIXES)}); "
                f"{str(folder)!r} holds none. Check the path."
            )
        self._classes: int = self._samples.about["classes"]
        if self._classes:
            _log.warning(
                "%s has no captions but %d class folders: their names are the captions",
                *(folder, self._classes),
            )
        super().__init__(self._samples.about["fingerprint"], remarks, str(folder))

    def __len__(self) -> int:
        return len(self._samples)

    def name(self, index: int) -> str:
        path, line = self._samples.row(index, "path", "line")
        return self._metadata.place(line) if path is None else printable(_text(path))

    def _read_captions(self, index: int) -> tuple[str, ...]:
        path, line, beside, _ = self._samples.row(index, *_Sample._fields)
        name = self.name(index)
        if path is None:
            raise UnusableSample("unreadable record", name, _UNREADABLE)
        note = self._remarks.of_sample(index, name)
        caption = self._metadata.caption(line) if line >= 0 else None
        parent = os.path.dirname(_text(path))
        if caption is None and beside is not None:
            if line >= 0:
                note(BESIDE, 1)
            caption = decoded(read_listed(self._folder / parent / _text(beside)))
        elif caption is None and self._classes and parent:
            caption = class_caption(os.path.basename(parent))
        return clean_captions(caption, name, note)

    def _read_image(self, index: int) -> bytes:
        path, is_listed = self._samples.row(index, "path", "is_listed")
        name = self.name(index)
        if path is None:
            raise UnusableSample("unreadable record", name, _UNREADABLE)
        file = self._folder / _text(path)
        return read_listed(file) if is_listed else read_mentioned(file, name)

    def _scan(self, remarks: Remarks) -> Generator[_Sample, None, dict[str, Any]]:
        """Lines that name no file, then all files, with those that are named and not there."""
        for line in self._metadata.without_path():
            yield _Sample(None, line, None, False)
        lines = self._metadata.matched(self._listing, remarks)
        start = (READING, self._metadata.column)
        summaries = Digest(["folder", *start]), Digest(["class folders", *start])
        classes: set[str] = set()
        captioned = self._metadata.first_table  # the first file with captions
        without = 0
        missing = deque(lines.missing)
        for file in self._listing.files(remarks):
            for summary in summaries:
                summary.add((printable(file.path), file.size, file.changed))
            while missing and missing[0].path.split("/") < file.path.split("/"):
                yield _missing(missing.popleft())
            line = lines.line(file.path)
            stem, suffix = parted(file.path)
            parent = os.path.dirname(file.path)
            if suffix in IMAGE_SUFFIXES or line >= 0:
                beside = None
                if suffix in IMAGE_SUFFIXES:
                    beside = file.neighbours.caption_of(os.path.basename(stem))
                    if parent:
                        classes.add(class_caption(os.path.basename(parent)))
                captioned = captioned or (beside and os.path.join(parent, beside))
                without += line < 0 and beside is None
                yield _Sample(
                    _bytes(file.path), line, None if beside is None else _bytes(beside), True
                )
            elif not self._is_used(file, lines):
                kind = f"file ending in {printable(suffix)}" if suffix else "file without a suffix"
                if suffix in CAPTION_SUFFIXES:
                    kind = f"{suffix} file that is no image's caption"
                remarks.add(f"{kind}, not used", printable(file.path))
        yield from map(_missing, missing)
        is_classes = self._class_folders and captioned is None and len(classes) > 1
        if captioned is not None and len(classes) > 1 and without:
            reason = "image without a caption, for folders are no classes where files have captions"
            remarks.add(reason, f"captions in {printable(captioned)}", without)
        return {
            "fingerprint": summaries[is_classes].text(),
            "classes": len(classes) * is_classes,
            "remarks": remarks.tallies(),
        }

    def _is_used(self, file: ListedFile, lines: MatchedLines) -> bool:
        """Whether a file is metadata, or the caption of an image that the metadata have not."""
        if file.path in self._tables:
            return True
        folder, name = os.path.split(file.path)
        for image in file.neighbours.images_of(name):
            line = lines.line(os.path.join(folder, image))
            if line < 0 or self._metadata.caption(line) is None:
                return True
        return False


def _chosen(listed: dict[str, ListedFile]) -> list[ListedFile]:
    """The metadata file of each folder that has one, in the order of their paths."""
    folders: dict[str, ListedFile] = {}
    for name in METADATA:
        for path, file in listed.items():
            if os.path.basename(path) == name:
                folders.setdefault(os.path.dirname(path), file)
    return sorted(folders.values(), key=lambda file: file.path.split("/"))


def _missing(file: MissingFile) -> _Sample:
    return _Sample(_bytes(file.path), file.line, None, False)


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogatepass")


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogatepass")


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema(
        [
            *(("path", pa.binary()), ("line", pa.int64())),
            *(("beside", pa.binary()), ("is_listed", pa.bool_())),
        ]
    )
