"""Shuffled, endless, typed batches, to be taken up again at any batch on any number of processes.

    order    every sample once an epoch, shuffled anew each epoch from the seed  (Grain)
    batch    consecutive samples of the order; a batch may span two epochs
    process  p of n takes the p-th n-th part of each batch

so that the n parts, one after the other, are the batch that a single process would have made, row
for row. The whole state is one integer, the number of the next batch: it means the same for any n.
"""

import abc
import os
from collections.abc import Iterator
from typing import Any, ClassVar, final, TYPE_CHECKING

if TYPE_CHECKING:
    import grain

_ENDLESS = 2**48  # samples


class AbstractDataset(abc.ABC):
    """Samples that know how to become batches: `CachedLatents` and `Pictures`."""

    decodes: ClassVar[bool] = False
    """Whether making a batch costs enough for threads to share it out."""

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def arrange(self, order: "grain.MapDataset", batch: int, seed: int) -> "grain.MapDataset":
        """`order`, an endless data set of sample indices, as a data set of batches of `batch`."""


@final
class Batches(Iterator[Any]):
    """An endless iterator of this process's part of each batch.

    `position` is the number of the next batch: what a checkpoint holds.
    """

    def __init__(self, batches: "grain.MapDataset", start: int, threads: int):
        import grain

        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
        self._iterator = iter(batches.to_iter_dataset(options))
        self._iterator.set_state({"next_index": start})
        self.position = start

    def __next__(self) -> Any:
        batch = next(self._iterator)
        self.position += 1
        return batch

    def __iter__(self) -> "Batches":
        return self


def batches(
    dataset: AbstractDataset,
    *,
    batch_size: int,
    seed: int,
    start: int = 0,
    process_index: int = 0,
    process_count: int = 1,
) -> Batches:
    """Endless training batches from batch number `start` on.

    **Arguments:**

    - `dataset`: a `CachedLatents` (giving `LatentBatch`) or `Pictures` (giving `ImageBatch`).
    - `batch_size`: of the whole batch, over all processes.
    - `seed`: fixes the order and every random crop.
    - `start`: a `position` read off an earlier iterator with the same data, batch size and seed.
    - `process_index`, `process_count`: which part of each batch to give.

    Raises `ValueError` for sizes that do not fit.
    """
    if batch_size < 1:
        raise ValueError(f"The batch size must be at least 1; got {batch_size}.")
    if batch_size > len(dataset):
        raise ValueError(
            f"The batch size must be at most the {len(dataset)} samples of the data set; "
            f"got {batch_size}. Lower it, or accumulate gradients."
        )
    if process_count < 1 or not 0 <= process_index < process_count:
        raise ValueError(
            "The process index must be in 0 to process_count - 1; "
            f"got index {process_index} of {process_count}."
        )
    if batch_size % process_count:
        raise ValueError(
            f"The batch size must be a multiple of the number of processes; got {batch_size} for "
            f"{process_count}. Use for instance {batch_size + -batch_size % process_count}."
        )
    if start < 0:
        raise ValueError(f"The first batch's number must be at least 0; got start={start}.")
    import grain  # here, for it takes 0.35 s, which sampling should not pay

    # Not repeat() without a number: the length that Grain then gives overflows when it is sliced.
    epochs = _ENDLESS // len(dataset)
    order = grain.MapDataset.range(len(dataset)).shuffle(seed=seed).repeat(epochs)
    every = dataset.arrange(order, batch_size // process_count, seed)
    threads = min(16, os.cpu_count() or 1) if dataset.decodes else 0
    return Batches(every[process_index::process_count], start, threads)
