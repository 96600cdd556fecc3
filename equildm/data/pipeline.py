"""Shuffled, endless, typed batches that can be resumed on any number of processes.

    order    every sample once an epoch, in an order drawn from the seed for each epoch  (Grain)
    batch    consecutive samples of the order; a batch may span two epochs
    process  takes some of the n equal parts of each batch, mostly the p-th of as many as processes

The n parts in order are, row for row, the batch that a single process would take. The state is one
integer, the number of the next batch, which means the same for any n.
"""

import abc
import logging
import os
from collections.abc import Iterator, Sequence
from typing import ClassVar, final, TYPE_CHECKING

import jax
import numpy as np
from jaxtyping import Int

from .._types import Batch
from .batch import full_precision
from .block_order import BlockOrder

if TYPE_CHECKING:
    import grain

_log = logging.getLogger("equildm.data")

ENDLESS = 2**48
"""Samples of an endless order."""

READ_AHEAD = 2**30
"""Bytes of batches that wait to be used, at most, in one place: read ahead, and on the device."""


class AbstractDataset(abc.ABC):
    """Samples, and how they become batches: `CachedLatents`, `ImageDataset` and others."""

    decodes: ClassVar[bool] = False
    """Whether a batch costs enough to be read by several threads."""
    split: str = ""
    """The record of the training split that it was made of (`Subset.record`), where it is known.
    Checkpoints hold it."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever a sample would; "" where that is not known. A run goes on with the data
        that it began with, wherever they lie."""
        return ""

    @abc.abstractmethod
    def __len__(self) -> int:
        """The number of samples in an epoch."""

    @abc.abstractmethod
    def parts(self, batch_size: int, of: int, seed: int) -> "grain.MapDataset":
        """Endless parts of batches: number `i` is part `i % of` of batch `i // of`.

        Mostly `shuffled(len(self), seed).batch(batch_size // of).map(self.gather)`.
        """


@final
class Batches(Iterator[Batch]):
    """An endless iterator of this process's part of each batch.

    `position` is the number of the next batch, which a checkpoint holds. Threads read ahead, as far
    as what they hold takes no more than 1 GiB, but at least one batch.
    """

    def __init__(self, parts: Sequence["grain.MapDataset"], start: int, threads: int):
        self._parts, self._threads = parts, threads
        self._iterators: list[Iterator[Batch]] = []
        self.position = start

    def __next__(self) -> Batch:
        return full_precision(self.stored())

    def stored(self) -> Batch:
        """The next one as it is stored: half as many bytes, if in float16."""
        if self._iterators:
            parts = [next(iterator) for iterator in self._iterators]
        else:  # the first part tells how many bytes the others have
            first = self._parts[0][self.position]
            self._read_ahead(batch_bytes(first))
            parts = [first, *(next(iterator) for iterator in self._iterators[1:])]
        self.position += 1
        return parts[0] if len(parts) == 1 else jax.tree.map(lambda *x: np.concatenate(x), *parts)

    def _read_ahead(self, size: int) -> None:
        """Begins to read what comes after the first part, which has that many bytes."""
        import grain

        threads = -(-self._threads // len(self._parts))  # for each of the parts
        most = max(1, READ_AHEAD // max(1, size * len(self._parts)))
        options = grain.ReadOptions(
            num_threads=min(threads, most), prefetch_buffer_size=min(2 * threads, most)
        )
        for number, part in enumerate(self._parts):
            iterator = iter(part.to_iter_dataset(options))
            iterator.set_state({"next_index": self.position + (number == 0)})
            self._iterators.append(iterator)

    def __iter__(self) -> "Batches":
        return self


def batch_bytes(batch: Batch) -> int:
    """Bytes of a batch's arrays."""
    return sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(batch))


def batches(
    dataset: AbstractDataset,
    *,
    batch_size: int,
    seed: int,
    start: int = 0,
    parts: Sequence[int] = (0,),
    of: int = 1,
) -> Batches:
    """Endless training batches from batch number `start` on.

    **Arguments:**

    - `dataset`: for instance `CachedLatents`, whose batches are `LatentBatch`es.
    - `batch_size`: examples in a batch, over all processes. Where there are fewer samples, they
        come up several times in each batch.
    - `seed`: of the order and of every random crop.
    - `start`: the `position` of an earlier iterator with the same data, batch size and seed.
    - `parts`, `of`: which of how many equal parts of each batch this process takes, see
        `runtime.batch_parts`.

    **Raises** `ValueError` for sizes that do not fit.
    """
    if batch_size < 1:
        raise ValueError(f"The batch size must be at least 1; got {batch_size}.")
    if len(dataset) == 0:
        raise ValueError("A data set must have at least 1 sample; got none. Check the data.")
    if of < 1 or not parts or any(not 0 <= part < of for part in parts):
        raise ValueError(
            f"The parts of a batch must be in 0 to of - 1; got parts {tuple(parts)} of {of}."
        )
    if batch_size % of:
        raise ValueError(
            f"The batch size must be a multiple of the number of parts; got {batch_size} for "
            f"{of}. Use for instance {batch_size + -batch_size % of}."
        )
    if start < 0:
        raise ValueError(f"The first batch's number must be at least 0; got start={start}.")
    if batch_size > len(dataset):
        _log.warning(
            "a batch of %d has more than the %d samples of the data set: each comes up %d times "
            "or more in it",
            *(batch_size, len(dataset), batch_size // len(dataset)),
        )
    threads = min(16, os.cpu_count() or 1) if dataset.decodes else 0
    # Threads share a batch, so that a large one is not read by one alone, nor many held at a time.
    rows = batch_size // of
    pieces = max(n for n in range(1, max(1, threads) + 1) if rows % n == 0)
    every = dataset.parts(batch_size, of * pieces, seed)
    numbers = [part * pieces + piece for part in parts for piece in range(pieces)]
    return Batches([every[number :: of * pieces] for number in numbers], start, threads)


def shuffled(
    count: int,
    seed: int,
    *,
    files: Int[np.ndarray, "files"] | None = None,
    window: int | None = None,
) -> "grain.MapDataset":
    """The numbers below `count` in an order drawn from the seed for each epoch, endlessly.

    With a `window`, so many files are mixed at a time, of which `files` are the first numbers: see
    `BlockOrder`.
    """
    import grain  # here, because it takes 0.35 s and sampling does not need it

    if window is not None and files is not None:
        return grain.MapDataset.range(ENDLESS).map(BlockOrder(files, count, window, seed))

    # Not repeat() without a number: the length of that overflows when Grain slices it.
    return grain.MapDataset.range(count).shuffle(seed=seed).repeat(ENDLESS // count)
