"""ArrayRecord files: writing, and reading many records at once."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, final, Protocol, runtime_checkable

import numpy as np

from .handles import Handles

# One record in each group, for Grain and for random access. Compression would not pay: images are
# compressed already, and latents are noise to a compressor.
_WRITER = "group_size:1,uncompressed"
_READER = "readahead_buffer_size:0"

SUFFIX = ".arrayrecord"


@runtime_checkable
class Writer(Protocol):
    """ArrayRecord's writer."""

    def write(self, record: bytes) -> None:
        """Appends a record."""

    def close(self) -> None:
        """Finishes the file."""


@final
class RecordReader:
    """The records of several files as one sequence. Threads may share it.

    Each file is opened once, to count its records; then a bounded number is open at once.

    **Raises** `ValueError` for a file that is not ArrayRecord, is damaged or cut off; `OSError`
    where the system refuses to open it. `read` raises `OSError` for damage within.
    """

    def __init__(self, paths: Sequence[Path]):
        self.paths = list(paths)
        self._readers = Handles(lambda shard: _open(self.paths[shard]))
        self.counts = [self._readers[shard].num_records() for shard in range(len(self.paths))]
        self.starts = np.cumsum([0, *self.counts])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def read(self, indices: np.ndarray) -> list[bytes]:
        """The records at `indices`, in their order, with one read of each file."""
        shards = np.searchsorted(self.starts, indices, side="right") - 1
        records: list[bytes] = [b""] * len(indices)
        for shard in np.unique(shards):
            places = np.flatnonzero(shards == shard)
            positions = (indices[places] - self.starts[shard]).tolist()
            for place, record in zip(places, self._read(int(shard), positions), strict=True):
                records[place] = record
        return records

    def _read(self, shard: int, positions: list[int]) -> list[bytes]:
        try:
            records = self._readers[shard].read(positions)
        except RuntimeError as error:
            fault = str(error)
        else:
            if len(records) == len(positions):
                return records
            fault = f"{len(positions)} records were asked for, {len(records)} came"
        path = str(self.paths[shard])
        raise OSError(
            f"{path!r} cannot be read: {fault}. Copy it again, or write it again, unless the disk "
            "is at fault."
        )


def open_writer(path: Path) -> Writer:
    """Opens a new file. The package is imported here, where it is needed.

    **Raises** `OSError` where the system refuses; so do the writer's methods.
    """
    from array_record.python import array_record_module

    with _naming(path):
        return _NamedWriter(path, array_record_module.ArrayRecordWriter(str(path), _WRITER))


@final
class _NamedWriter:
    """A writer whose errors are `OSError`s."""

    def __init__(self, path: Path, writer: Writer):
        self._path, self._writer = path, writer

    def write(self, record: bytes) -> None:
        with _naming(self._path):
            self._writer.write(record)

    def close(self) -> None:
        with _naming(self._path):
            self._writer.close()


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """The library raises `RuntimeError` for whatever goes wrong."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(f"{str(path)!r} cannot be written: {error}") from error


def _open(path: Path) -> Any:
    from array_record.python import array_record_module

    if not path.is_file():
        raise ValueError(f"An ArrayRecord file must exist; got {str(path)!r}. Check the path.")
    path.open("rb").close()  # the library's errors do not tell what the system refused
    try:
        reader = array_record_module.ArrayRecordReader(str(path), options=_READER)
        if not reader.ok():
            reader.close()  # raises what is wrong, or at least that something is
            raise RuntimeError("it is not valid")
    except (RuntimeError, ValueError, OSError) as error:
        raise ValueError(
            f"An ArrayRecord file must be complete; {str(path)!r} is damaged, cut off or no such "
            f"file: {str(error) or 'it has no end'}. Copy it again, or write it again."
        ) from error
    return reader
