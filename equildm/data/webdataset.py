"""Tar files in the webdataset layout: members of one sample share a key."""

import json
import logging
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, final, NamedTuple

import numpy as np
from jaxtyping import UInt8

from .decode import decode_image, IMAGE_SUFFIXES
from .source import (
    AbstractSource,
    clean_caption,
    digest,
    file_identity,
    UnusableSample,
)

_log = logging.getLogger("equildm.data")


class _Span(NamedTuple):
    offset: int
    size: int


class _Members(NamedTuple):
    key: str
    tar: Path
    spans: dict[str, _Span]  # by suffix


@final
class WebDatasetSource(AbstractSource):
    """Images with captions in uncompressed tars, read by offset.

    The key of a member is its path up to the first dot of the file name, the rest is its suffix.
    A sample is an image member with a `.txt` member of the same key, or with a `.json` member that
    has a field `caption` or `text` (or `caption_field`). The headers of the tars are read once, by
    the constructor; nothing is unpacked to disk, and every sample is one seek away.

    **Raises** `ValueError` for a file that is no tar, for a compressed tar, which has no random
    access, and for tars without an image. A truncated tar is logged, and used up to its end.
    """

    def __init__(self, tars: Sequence[str | Path], *, caption_field: str | None = None):
        paths = [Path(tar) for tar in tars]
        if not paths:
            raise ValueError(
                "A webdataset must have at least one tar; got none. Check the pattern."
            )
        self._fields = ("caption", "text") if caption_field is None else (caption_field,)
        self._samples = [members for path in paths for members in _samples(path)]
        if not self._samples:
            raise ValueError(
                f"A webdataset must hold image members ({', '.join(IMAGE_SUFFIXES)}); "
                f"{', '.join(map(str, paths))} holds none. Check the path."
            )
        self._fingerprint = digest(
            ["webdataset", self._fields, *(file_identity(path) for path in paths)]
        )

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def __len__(self) -> int:
        return len(self._samples)

    def name(self, index: int) -> str:
        return f"{self._samples[index].tar.name}:{self._samples[index].key}"

    def caption(self, index: int) -> str:
        name, spans = self.name(index), self._samples[index].spans
        if ".txt" in spans:
            return clean_caption(self._read(index, ".txt").decode("utf-8", errors="replace"), name)
        if ".json" in spans:
            try:
                record: Any = json.loads(self._read(index, ".json"))
            except ValueError as error:
                raise UnusableSample("unreadable record", name, f"json: {error}") from error
            if isinstance(record, dict):
                for field in self._fields:
                    if record.get(field) is not None:
                        return clean_caption(record[field], name)
        raise UnusableSample("missing caption", name)

    def image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        spans = self._samples[index].spans
        suffix = next(suffix for suffix in spans if suffix in IMAGE_SUFFIXES)
        return decode_image(self._read(index, suffix), self.name(index))

    def _read(self, index: int, suffix: str) -> bytes:
        # Opened for each read, in 20 microseconds: threads share no state.
        offset, size = self._samples[index].spans[suffix]
        with self._samples[index].tar.open("rb") as file:
            file.seek(offset)
            data = file.read(size)
        if len(data) != size:
            raise UnusableSample("unreadable record", self.name(index), "the tar is cut off")
        return data


def _samples(path: Path) -> Iterator[_Members]:
    samples: dict[str, _Members] = {}
    for member in _members(path):
        folder, slash, file = member.name.rpartition("/")
        stem, dot, suffix = file.partition(".")
        if not stem:  # a hidden file
            continue
        key = folder + slash + stem
        sample = samples.setdefault(key, _Members(key, path, {}))
        sample.spans[(dot + suffix).lower()] = _Span(member.offset_data, member.size)
    for sample in samples.values():
        if any(suffix in IMAGE_SUFFIXES for suffix in sample.spans):
            yield sample


def _members(path: Path) -> Iterator[tarfile.TarInfo]:
    try:
        file = tarfile.open(path, "r:")  # uncompressed only  # noqa: SIM115
    except FileNotFoundError as error:
        raise ValueError(f"A tar must exist; got {str(path)!r}. Check the path.") from error
    except tarfile.ReadError as error:
        raise ValueError(
            f"A webdataset's tars must be uncompressed, for random access; {str(path)!r} is "
            f"compressed or no tar ({error}). Unpack a compressed one: gunzip {path.name}"
        ) from error
    with file:
        try:
            for member in file:
                if member.isreg() and not member.issparse():
                    yield member
        except tarfile.ReadError as error:
            _log.warning("%s is cut off and used up to there (%s)", path, error)
