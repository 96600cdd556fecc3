"""Shuffled, endless, typed batches, to be taken up again at any batch on any number of processes.

    order    every sample once an epoch, shuffled anew each epoch from the seed  (Grain)
    batch    consecutive samples of the order; a batch may span two epochs
    process  takes some of the n equal parts of each batch, mostly the p-th of as many as processes

so that the n parts, one after the other, are the batch that a single process would have made, row
for row. The whole state is one integer, the number of the next batch: it means the same for any n.
"""

import abc
import os
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, final, TYPE_CHECKING

import jax
import numpy as np

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

    def __init__(self, parts: Sequence["grain.MapDataset"], start: int, threads: int):
        import grain

        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
        self._iterators = [iter(part.to_iter_dataset(options)) for part in parts]
        for iterator in self._iterators:
            iterator.set_state({"next_index": start})
        self.position = start

    def __next__(self) -> Any:
        made = [next(iterator) for iterator in self._iterators]
        self.position += 1
        return made[0] if len(made) == 1 else jax.tree.map(lambda *x: np.concatenate(x), *made)

    def __iter__(self) -> "Batches":
        return self


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

    - `dataset`: a `CachedLatents` (giving `LatentBatch`) or `Pictures` (giving `ImageBatch`).
    - `batch_size`: of the whole batch, over all processes.
    - `seed`: fixes the order and every random crop.
    - `start`: a `position` read off an earlier iterator with the same data, batch size and seed.
    - `parts`, `of`: which parts of each batch to give, of how many equal ones: see
        `runtime.batch_parts`.

    Raises `ValueError` for sizes that do not fit.
    """
    if batch_size < 1:
        raise ValueError(f"The batch size must be at least 1; got {batch_size}.")
    if batch_size > len(dataset):
        raise ValueError(
            f"The batch size must be at most the {len(dataset)} samples of the data set; "
            f"got {batch_size}. Lower it, or accumulate gradients."
        )
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
    import grain  # here, for it takes 0.35 s, which sampling should not pay

    # Not repeat() without a number: the length that Grain then gives overflows when it is sliced.
    epochs = _ENDLESS // len(dataset)
    order = grain.MapDataset.range(len(dataset)).shuffle(seed=seed).repeat(epochs)
    every = dataset.arrange(order, batch_size // of, seed)
    threads = min(16, os.cpu_count() or 1) if dataset.decodes else 0
    return Batches([every[part::of] for part in parts], start, threads)
