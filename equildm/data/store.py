"""Records by key, in shards that are only ever added.

    latents-<key>/    of one VAE, crop and dtype: a latent for each image
    texts-<key>/      of one text encoder: an embedding for each caption
        <shard>.arrayrecord   the records
        <shard>.keys.npy      for each record its key, 16 bytes, and what is known of it

A shard counts when its keys are there, which are written last. So any number of processes may add
shards at once, and one that is killed leaves at most files that nobody reads.
"""

import os
import secrets
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import final, TypeAlias

import numpy as np
from jaxtyping import Bool, Int

from .records import open_writer, SUFFIX, Writer

KEYS = ".keys.npy"
KEY_TYPE = "S16"

KeyArray: TypeAlias = np.ndarray
"""Keys as numpy's `S16`, which compares as bytes do."""


def as_keys(digests: Sequence[bytes]) -> KeyArray:
    """Digests of 16 bytes, see `digest_of`, as keys."""
    return np.frombuffer(b"".join(digests), KEY_TYPE)


def records_file(keys: Path) -> Path:
    """The file of records that belongs to a file of keys."""
    return keys.with_name(keys.name.removesuffix(KEYS) + SUFFIX)


def keys_file(records: Path) -> Path:
    """The file of keys that belongs to a file of records."""
    return records.with_name(records.name.removesuffix(SUFFIX) + KEYS)


def mirrored_keys(keys: KeyArray) -> KeyArray:
    """The keys of the mirror images: every bit is inverted."""
    return np.invert(np.ascontiguousarray(keys).view(np.uint8)).view(KEY_TYPE)


@final
class RecordStore:
    """The records in one folder, found by their keys.

    It knows the shards that were complete when it was made. Threads may share it.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.shards = sorted(path.name[: -len(KEYS)] for path in self.folder.glob(f"*{KEYS}"))
        tables = [self._table(shard) for shard in self.shards]
        keys = np.concatenate([np.zeros(0, KEY_TYPE), *(table["key"] for table in tables)])
        order = np.argsort(keys, kind="stable")
        starts = np.cumsum([0, *map(len, tables)])
        shard = np.searchsorted(starts, order, side="right") - 1
        self._keys = keys[order]
        self._places = np.stack([shard, order - starts[shard]], axis=-1)
        sizes = [table["original"] for table in tables if "original" in (table.dtype.names or ())]
        self._originals = np.concatenate(sizes)[order] if sizes else None

    def _table(self, shard: str) -> np.ndarray:
        return np.load(self.folder / (shard + KEYS), allow_pickle=False)

    def original(self, key: KeyArray) -> tuple[int, int] | None:
        """Height and width of the image that a latent was made of; None without a record."""
        positions, matches = self._positions(key)
        if self._originals is None or not matches[0]:
            return None
        height, width = self._originals[positions[0]].tolist()
        return height, width

    def has(self, keys: KeyArray) -> Bool[np.ndarray, "keys"]:
        """Which of the keys have a record."""
        return self._positions(keys)[1]

    def find(self, keys: KeyArray) -> Int[np.ndarray, "keys 2"]:
        """Number of the shard and of the record in it, for each key.

        **Raises** `OSError` for a key without a record.
        """
        positions, matches = self._positions(keys)
        if not matches.all():
            raise OSError(
                f"{int((~matches).sum())} of {len(keys)} records are no longer in "
                f"{str(self.folder)!r}: another program removed them. Launch again to make them."
            )
        return self._places[positions]

    def _positions(
        self, keys: KeyArray
    ) -> tuple[Int[np.ndarray, "keys"], Bool[np.ndarray, "keys"]]:
        if not len(self._keys):
            return np.zeros(len(keys), np.int64), np.zeros(len(keys), bool)
        positions = np.searchsorted(self._keys, keys).clip(max=len(self._keys) - 1)
        return positions, self._keys[positions] == keys

    def size(self, shard: int) -> int:
        """The number of records of a shard."""
        return len(self._table(self.shards[shard]))

    def known(self, places: Int[np.ndarray, "keys 2"]) -> np.ndarray:
        """What is stored beside the keys at each place that `find` gave, as a structured array."""
        order = np.argsort(places[:, 0], kind="stable")
        shards, starts = np.unique(places[order, 0], return_index=True)
        result: np.ndarray | None = None
        for shard, part in zip(shards, np.split(order, starts[1:]), strict=True):
            table = self._table(self.shards[shard])
            result = np.empty(len(places), table.dtype) if result is None else result
            result[part] = table[places[part, 1]]
        assert result is not None
        return result


@final
class KnownKeys:
    """Which records a store has, those of this process that are still to be written included."""

    def __init__(self, folder: Path):
        self._store = RecordStore(folder)
        self._new: dict[bytes, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def original(self, keys: KeyArray) -> tuple[int, int] | None:
        """Height and width of the original, if all of the keys have a record."""
        sizes = []
        with self._lock:
            for place in range(len(keys)):
                key = keys[place : place + 1]
                sizes.append(self._new.get(key.tobytes()) or self._store.original(key))
        return None if None in sizes else sizes[0]

    def add(self, key: bytes, original: tuple[int, int] = (0, 0)) -> bool:
        """Whether a key is new. It is not from then on."""
        with self._lock:
            if key in self._new or self._store.has(as_keys([key]))[0]:
                return False
            self._new[key] = original
            return True


@final
class ShardWriter:
    """Writes a new shard of a store, and after its `commit` the next one.

    Nobody sees a shard before `commit`; `abandon` removes it. There is none before the first
    record.

    **Arguments:**

    - `folder`: of the store; it is created.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._name = ""
        self._writer: Writer | None = None
        self._tables: list[np.ndarray] = []

    def add(self, keys: Sequence[bytes], records: Iterable[bytes], **known: np.ndarray) -> None:
        """Appends records. What is `known` of them, an array for each name, is kept by the keys."""
        if self._writer is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._name = secrets.token_hex(8)
            self._writer = open_writer(self._temporary)
        for record in records:
            self._writer.write(record)
        fields = [(name, values.dtype, values.shape[1:]) for name, values in known.items()]
        table = np.empty(len(keys), [("key", KEY_TYPE), *fields])
        for name, values in {"key": as_keys(keys), **known}.items():
            table[name] = values
        self._tables.append(table)

    @property
    def _temporary(self) -> Path:
        return self._folder / f".{self._name}.tmp"

    def commit(self) -> None:
        """Completes the shard, in this order: the records, then the keys."""
        if self._writer is None:
            return
        self._writer.close()
        os.replace(self._temporary, self._folder / (self._name + SUFFIX))
        with self._temporary.open("wb") as file:
            np.save(file, np.concatenate(self._tables))
            file.flush()
            os.fsync(file.fileno())
        os.replace(self._temporary, self._folder / (self._name + KEYS))
        self._writer, self._tables = None, []

    def abandon(self) -> None:
        """Removes what was written since the last `commit`."""
        if self._writer is None:
            return
        try:
            self._writer.close()
        finally:
            self._temporary.unlink(missing_ok=True)
