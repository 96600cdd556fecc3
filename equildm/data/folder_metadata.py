"""Which line of the metadata belongs to which file of a folder."""

import json
import os
from collections.abc import Generator, Sequence
from typing import Any, final, NamedTuple

import numpy as np

from ..runtime.address import Address, FilePath
from .decode import IMAGE_SUFFIXES
from .folder_files import ListedFile, Listing, parted
from .folder_lines import alike, METADATA, metadata_lines, stored_fields
from .folder_remote import RemoteListing
from .index_table import index_table
from .remarks import Remarks
from .source import digest
from .text_hash import NO_TEXT, text_hash

CAPTION_COLUMNS = ("text", "caption")

INDEX = 2
"""Version of the table of lines."""


@final
class FolderMetadata:
    """The lines of all metadata files of a folder, in an `index_table`.

    **Arguments:**

    - `root`: the folder.
    - `tables`: the metadata files.
    - `requested`: the field with the captions, by default `text` or `caption`.

    **Raises** `ValueError` if there are lines, and none has such a field.
    """

    def __init__(self, root: FilePath, tables: Sequence[ListedFile], requested: str | None):
        self._root, self._tables = root, [table.path for table in tables]
        self._columns = CAPTION_COLUMNS if requested is None else (requested,)
        identities = [(table.path, table.size, table.changed) for table in tables]
        key = digest(["metadata", INDEX, absolute(root), self._columns, *identities])
        self._lines = index_table(key, f"metadata of {root}", _schema(), self._scan)
        names = self._lines.about["fields"]
        self.column = next((name for name in self._columns if name in names), self._columns[0])
        """The field with the captions."""
        if (names or requested is not None) and self.column not in names:
            raise ValueError(
                f"The caption column must be in {METADATA[0]}: looked for "
                f"{' or '.join(self._columns)}, found {', '.join(names) or 'no such file'}. Pass "
                "caption_column, or leave it out where captions are files or folders."
            )

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def first_table(self) -> str | None:
        """The first metadata file, if there is a line in any."""
        return self._tables[0] if len(self) else None

    def place(self, line: int) -> str:
        """File and number of a line."""
        (place,) = self._lines.row(line, "place")
        return place

    def caption(self, line: int) -> Any:
        """What a line says of the caption."""
        (fields,) = self._lines.row(line, "fields")
        return json.loads(fields).get(self.column)

    def without_path(self) -> list[int]:
        """The lines that name no file."""
        return np.flatnonzero(self._lines.column("path_hash") == NO_TEXT).tolist()

    def matched(self, listing: Listing | RemoteListing, remarks: Remarks) -> "MatchedLines":
        """The line of each file. What is not used, or is spelled differently, is counted."""
        hashes = self._lines.column("path_hash").copy()
        missing: list[int] = []
        if len(hashes):
            files = np.fromiter((text_hash(file.path) for file in listing.files()), np.uint64)
            absent = np.flatnonzero((hashes != NO_TEXT) & ~np.isin(hashes, files)).tolist()
            similar = self._similar(absent, listing)
            for line in absent:
                others = similar[alike(self._path(line))]
                if len(others) == 1:
                    hashes[line] = text_hash(others[0])
                    reason = "file name that metadata spell differently, used"
                    remarks.add(reason, self.place(line))
                else:
                    missing.append(line)
        order = np.argsort(hashes, kind="stable")  # of several lines for one file the first is left
        ordered = hashes[order]
        again = np.zeros(len(order), bool)
        again[order[1:]] = (ordered[1:] == ordered[:-1]) & (ordered[1:] != NO_TEXT)
        for line in np.flatnonzero(again).tolist():
            remarks.add("further line of metadata for one file, not used", self.place(line))
        named = [MissingFile(self._path(line), line) for line in missing if not again[line]]
        return MatchedLines(ordered, order, sorted(named, key=lambda file: file.path.split("/")))

    def _similar(
        self, absent: Sequence[int], listing: Listing | RemoteListing
    ) -> dict[str, list[str]]:
        """The images whose names differ little from those of these lines."""
        similar: dict[str, list[str]] = {alike(self._path(line)): [] for line in absent}
        for file in listing.files() if absent else ():
            if parted(file.path)[1] in IMAGE_SUFFIXES and (key := alike(file.path)) in similar:
                similar[key].append(file.path)
        return similar

    def _path(self, line: int) -> str:
        (path,) = self._lines.row(line, "path")
        return path.decode("utf-8", "surrogatepass")

    def _scan(self) -> Generator[tuple, None, dict[str, Any]]:
        names: set[str] = set()
        for table in self._tables:
            for place, path, fields in metadata_lines(self._root, table):
                names |= fields.keys()
                stored = None if path is None else path.encode("utf-8", "surrogatepass")
                number = NO_TEXT if path is None else text_hash(path)
                yield place, stored, number, stored_fields(fields, self._columns)
        return {"fields": sorted(names)}


class MissingFile(NamedTuple):
    """A file that a line names, and the folder lacks."""

    path: str
    line: int


@final
class MatchedLines:
    """The line of a path, and the files that are named and not there, in their order."""

    def __init__(self, ordered: np.ndarray, lines: np.ndarray, missing: list[MissingFile]):
        self._ordered, self._lines = ordered, lines
        self.missing = missing

    def line(self, path: str) -> int:
        """The line that names the file, or -1."""
        number = np.uint64(text_hash(path))
        place = int(np.searchsorted(self._ordered, number))
        is_there = place < len(self._ordered) and self._ordered[place] == number
        return int(self._lines[place]) if is_there else -1


def absolute(root: FilePath) -> str:
    """A folder in full: metadata may name absolute paths."""
    return str(root) if isinstance(root, Address) else os.path.abspath(root)


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema(
        [
            *(("place", pa.string()), ("path", pa.binary())),
            *(("path_hash", pa.uint64()), ("fields", pa.string())),
        ]
    )
