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
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final, TypeAlias

import numpy as np
from jaxtyping import Bool, Int

from .records import open_writer, SUFFIX

KEYS = ".keys.npy"
KEY_TYPE = "S16"

KeyArray: TypeAlias = np.ndarray
"""Keys as numpy's `S16`, which compares as bytes do."""


def as_keys(digests: Sequence[bytes]) -> KeyArray:
    """Digests of 16 bytes, see `digest_of`, as keys."""
    return np.frombuffer(b"".join(digests), KEY_TYPE)


def mirrored_keys(keys: KeyArray) -> KeyArray:
    """The keys of the mirror images: every bit is inverted."""
    return np.invert(np.ascontiguousarray(keys).view(np.uint8)).view(KEY_TYPE)


@final
class RecordStore:
    """The records in one folder, found by their keys.

    It knows the shards that were complete when it was made, or last read again. Threads may share
    it.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.read_keys()

    def read_keys(self) -> None:
        """Looks for shards that were added."""
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
class ShardWriter:
    """A new shard of a store. Nobody sees it before `commit`; `abandon` removes it.

    **Arguments:**

    - `folder`: of the store; it is created.
    - `known`: dtype of what is stored beside the keys, with the fields' names.
    """

    def __init__(self, folder: Path, known: Sequence[tuple[Any, ...]] = ()):
        folder.mkdir(parents=True, exist_ok=True)
        self._target = folder / secrets.token_hex(8)
        self._temporary = folder / f".{self._target.name}.tmp"
        self._writer = open_writer(self._temporary)
        self._type = np.dtype([("key", KEY_TYPE), *known])
        self._rows: list[tuple[object, ...]] = []

    def add(self, key: bytes, record: bytes, *known: object) -> None:
        """Appends a record."""
        self._writer.write(record)
        self._rows.append((key, *known))

    def commit(self) -> None:
        """Completes the shard, in this order: the records, then the keys."""
        if not self._rows:
            self.abandon()
            return
        self._writer.close()
        self._move(self._temporary, SUFFIX)
        with self._temporary.open("wb") as file:
            np.save(file, np.array(self._rows, self._type))
            file.flush()
            os.fsync(file.fileno())
        self._move(self._temporary, KEYS)

    def _move(self, temporary: Path, suffix: str) -> None:
        os.replace(temporary, self._target.with_name(self._target.name + suffix))

    def abandon(self) -> None:
        """Removes what was written."""
        try:
            self._writer.close()
        finally:
            self._temporary.unlink(missing_ok=True)
