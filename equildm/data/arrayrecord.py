"""Images with captions in ArrayRecord files: the layout, its writer and its reader.

A record is

    4 bytes   n, unsigned, little-endian
    n bytes   JSON in UTF-8: {"name": ..., "caption": ...}
    the rest  the image, encoded (PNG or JPEG)

Several captions of an image are a list. Any language can read it with its standard tools, and no
code in it can run.
"""

import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Int
from PIL import Image

from ..runtime.address import file_path, FilePath
from .caption_text import clean_captions, parsed_json, printable
from .copied import local_files
from .decode import stored_image
from .file_source import AbstractFileSource
from .records import open_writer, RecordReader
from .remarks import Remarks
from .skips import Skips
from .source import (
    AbstractSource,
    digest,
    file_identity,
    READING,
    Sample,
    StoredImage,
    UnusableSample,
)

_TOGETHER = 1024
_BYTES = 2**24
"""Records, and about how many bytes of them, that a pass over all of them reads at once."""


@final
class ArrayRecordSource(AbstractFileSource):
    """The samples of files that `write_arrayrecord` wrote. Those at an address are copied, once.

    **Raises** `ValueError` for no files, for a file that is not ArrayRecord, is damaged or cut off,
    and for files without records.
    """

    _names_need_reading = True

    def __init__(self, files: Sequence[str | FilePath]):
        if not files:
            raise ValueError(
                "An ArrayRecord source must have at least one file; got none. Check the pattern."
            )
        paths = [file_path(file) for file in files]
        self._records = RecordReader(local_files(paths))
        if len(self._records) == 0:
            raise ValueError(
                "An ArrayRecord source must hold records; "
                f"{', '.join(map(str, files))} holds none. Write it again, or leave it out."
            )
        empty = [path.name for path, count in zip(paths, self._records.counts) if not count]
        label = paths[0].name if len(paths) == 1 else str(paths[0].parent)
        super().__init__(
            digest(["arrayrecord", READING, *(file_identity(path) for path in paths)]),
            Remarks(label),
            label,
        )
        for name in empty:
            self._remarks.add("file without records", name)
        self._remarks.log()

    def __len__(self) -> int:
        return len(self._records)

    @property
    def file_starts(self) -> Int[np.ndarray, "files"]:
        return np.unique(self._records.starts[:-1])

    def name(self, index: int) -> str:
        if self._captions is not None:
            (name,) = self._captions.row(index, "name")
            return name
        try:
            return _name(self._read(index)[0], index)
        except UnusableSample as error:
            return error.name

    def stored(self, index: int) -> StoredImage:
        header, data = self._read(index)
        name = _name(header, index)
        return stored_image(data, name, self._remarks.of_sample(index, name))

    def _read_image(self, index: int) -> bytes:
        return self._read(index)[1]

    def _read_captions(self, index: int) -> tuple[str, ...]:
        return self._captions_of(self._read(index)[0], index)

    def _read_texts(self) -> Iterator[tuple[str, tuple[str, ...] | UnusableSample]]:
        size = sum(path.stat().st_size for path in self._records.paths)
        together = max(1, min(_TOGETHER, _BYTES * len(self) // max(1, size)))
        for start in range(0, len(self), together):
            indices = np.arange(start, min(start + together, len(self)))
            for index, record in zip(indices.tolist(), self._records.read(indices), strict=True):
                name = f"record {index}"
                try:
                    header, _ = _parts(record, index)
                    name = _name(header, index)
                    captions: tuple[str, ...] | UnusableSample = self._captions_of(header, index)
                except UnusableSample as error:
                    captions = error
                yield name, captions

    def _captions_of(self, header: dict[str, Any], index: int) -> tuple[str, ...]:
        name = _name(header, index)
        return clean_captions(header.get("caption"), name, self._remarks.of_sample(index, name))

    def _read(self, index: int) -> tuple[dict[str, Any], bytes]:
        (record,) = self._records.read(np.array([index]))
        return _parts(record, index)


def _parts(record: bytes, index: int) -> tuple[dict[str, Any], bytes]:
    """The header of a record, and the image."""
    size = int.from_bytes(record[:4], "little")
    try:
        header = parsed_json(record[4 : 4 + size].decode())
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise UnusableSample("unreadable record", f"record {index}", "its header is not JSON")
    return header, record[4 + size :]


def _name(header: dict[str, Any], index: int) -> str:
    return printable(str(header.get("name", index)))


def write_arrayrecord(
    source: AbstractSource,
    path: str | Path,
    *,
    jpeg_quality: int | None = None,
    max_skipped: float = 0.05,
) -> int:
    """Writes the usable samples of `source` to one file.

    The file gets its name when it is complete. Unusable samples are logged and left out.

    **Arguments:**

    - `source`: the samples.
    - `path`: of the new file.
    - `jpeg_quality`: 1 to 95, for photographs; by default images are stored exactly, as PNG.
    - `max_skipped`: share of the samples that may be unusable.

    **Returns:** the number of samples.

    **Raises** `ValueError` if more samples are unusable, or all.
    """
    if jpeg_quality is not None and not 1 <= jpeg_quality <= 95:
        raise ValueError(
            f"The JPEG quality must be 1 to 95; got {jpeg_quality}. Use for instance 90."
        )
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    skips = Skips(source, max_skipped)
    count = 0

    def encode(index: int) -> bytes:
        return _encode(source[index], source.captions(index), jpeg_quality)

    try:
        writer = open_writer(temporary)
        for index in range(len(source)):
            record = skips.attempt(index, encode)
            if record is not None:
                writer.write(record)
                count += 1
        writer.close()
        skips.require(count)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    skips.summarise()
    return count


def _encode(sample: Sample, captions: tuple[str, ...], jpeg_quality: int | None) -> bytes:
    caption = captions if len(captions) > 1 else sample.caption
    header = json.dumps({"name": sample.name, "caption": caption}).encode()
    image = io.BytesIO()
    if jpeg_quality is None:
        Image.fromarray(sample.image).save(image, "PNG")
    else:
        Image.fromarray(sample.image).save(image, "JPEG", quality=jpeg_quality)
    return len(header).to_bytes(4, "little") + header + image.getvalue()
