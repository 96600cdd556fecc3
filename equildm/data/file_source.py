"""What sources of files have in common: encoded images, and an index of names and captions."""

import abc
import json
import threading
from collections.abc import Generator, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import UInt8, UInt64

from .caption_text import READ_REMARKS
from .decode import stored_image
from .index_table import index_table, IndexTable
from .remarks import Remarks
from .source import AbstractSource, digest, StoredImage, UnusableSample
from .text_hash import NO_TEXT, text_hash

INDEX = 3
"""Version of the tables of names and captions: 2 has all captions of a sample, 3 more remarks."""


class AbstractFileSource(AbstractSource):
    """Samples in files, each of which is read by itself.

    A split needs the hash of each name or caption. They are read in one pass over all samples, and
    stay in a table (`index_table`), so that later splits of the same data read no file. Once there
    is a table of captions, captions come from it.

    **Arguments:**

    - `fingerprint`: of the data.
    - `remarks`: what has been met until now.
    - `label`: name of the data in the log.
    - `files`: names of the files in the names of samples (`distinct_names`). Folders in them are
        part of the tables' keys; the fingerprint has base names alone.
    """

    _names_need_reading: ClassVar[bool] = False
    """Whether a name is in the same place as the caption, so that one pass reads both."""

    def __init__(self, fingerprint: str, remarks: Remarks, label: str, files: Sequence[str] = ()):
        self._fingerprint, self._remarks, self._label = fingerprint, remarks, label
        self._file_names = files
        self._lock = threading.Lock()
        self._names: IndexTable | None = None
        self._captions: IndexTable | None = None

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def remarks(self) -> Remarks:
        return self._remarks

    @abc.abstractmethod
    def _read_captions(self, index: int) -> tuple[str, ...]:
        """All captions, from the files."""

    @abc.abstractmethod
    def _read_image(self, index: int) -> bytes:
        """The encoded image."""

    def _read_texts(self) -> Iterator[tuple[str, tuple[str, ...] | UnusableSample]]:
        """Name and captions of each sample in order."""
        for index in range(len(self)):
            try:
                captions: tuple[str, ...] | UnusableSample = self._read_captions(index)
            except UnusableSample as error:
                captions = error
            yield self.name(index), captions

    def caption(self, index: int) -> str:
        return self.captions(index)[0]

    def captions(self, index: int) -> tuple[str, ...]:
        if self._captions is None:
            return self._read_captions(index)
        captions, name, fault = self._captions.row(index, "captions", "name", "fault")
        if fault is not None:
            reason, detail = json.loads(fault)
            raise UnusableSample(reason, name, detail)
        return tuple(captions)

    def image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        return self.stored(index).decode()

    def stored(self, index: int) -> StoredImage:
        name = self.name(index)
        return stored_image(self._read_image(index), name, self._remarks.of_sample(index, name))

    def name_hashes(self) -> UInt64[np.ndarray, "samples"]:
        if self._names_need_reading:
            return self._caption_table().column("name_hash")
        with self._lock:
            if self._names is None:
                self._names = self._captions or self._table(
                    "names", _name_schema(), self._scan_names
                )
        return self._names.column("name_hash")

    def caption_hashes(self) -> UInt64[np.ndarray, "samples"]:
        return self._caption_table().column("caption_hash")

    def _caption_table(self) -> IndexTable:
        with self._lock:
            if self._captions is None:
                table = self._table("captions", _caption_schema(), self._scan_captions)
                self._remarks.restore(table.about["remarks"])
                self._captions = table
        return self._captions

    def _table(self, kind: str, schema: Any, scan: Any) -> IndexTable:
        return index_table(self._key(kind, INDEX, self._fingerprint), self._label, schema, scan)

    def _key(self, *parts: Any) -> str:
        """The key of a table that holds names of samples."""
        return digest([*parts, *(name for name in self._file_names if "/" in name)])

    def _scan_names(self) -> Generator[tuple, None, dict[str, Any]]:
        for index in range(len(self)):
            yield (text_hash(self.name(index)),)
        return {}

    def _scan_captions(self) -> Generator[tuple, None, dict[str, Any]]:
        for name, captions in self._read_texts():
            if isinstance(captions, UnusableSample):
                fault = json.dumps([captions.reason, captions.detail])
                yield name, text_hash(name), None, fault, NO_TEXT
            else:
                yield name, text_hash(name), captions, None, text_hash(captions[0])
        return {"remarks": self._remarks.tallies(*READ_REMARKS)}


def _name_schema() -> Any:
    import pyarrow as pa

    return pa.schema([("name_hash", pa.uint64())])


def _caption_schema() -> Any:
    import pyarrow as pa

    return pa.schema(
        [
            *(("name", pa.string()), ("name_hash", pa.uint64())),
            *(("captions", pa.list_(pa.string())), ("fault", pa.string())),
            ("caption_hash", pa.uint64()),
        ]
    )
