"""An order for data on slow disks: samples of one file come up near each other.

A full shuffle reads each sample at a place of its own. On a disk that seeks, or through a network,
files are better read one after the other. WebDataset and `tf.data` then shuffle the files, and the
samples in a buffer, whose contents a checkpoint would have to hold. Here the order is a function of
the position alone, so that a checkpoint holds one number.
"""

import functools
from typing import final

import numpy as np
from jaxtyping import Int


@final
class BlockOrder:
    """Each sample once an epoch: files in a drawn order, and those of a window mixed.

    In every epoch the blocks (files) are put into an order drawn from the seed, `window` of them
    after each other are joined, and their samples come in an order that is drawn too.

    **Arguments:**

    - `starts`: the first sample of each block, in order, of which the first is 0.
    - `count`: samples in all.
    - `window`: blocks whose samples are mixed. All of them: a full shuffle.
    - `seed`: of the order.

    **Raises** `ValueError` for a window below 1.
    """

    def __init__(self, starts: Int[np.ndarray, "blocks"], count: int, window: int, seed: int):
        if window < 1:
            raise ValueError(f"At least 1 file is read at a time; got a window of {window}.")
        self._starts, self._count = np.asarray(starts, np.int64), count
        self._sizes = np.diff([*self._starts, count])
        self._window, self._seed = window, seed
        # Some threads may be at the end of an epoch or of a window while others are at the next.
        self._epoch = functools.lru_cache(2)(self._drawn_epoch)
        self._mixed = functools.lru_cache(3)(self._drawn_window)

    def _drawn_epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The order of the blocks, and how many samples are before each window."""
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._starts))
        sizes = np.add.reduceat(self._sizes[order], np.arange(0, len(order), self._window))
        return order, np.cumsum([0, *sizes])

    def _drawn_window(self, epoch: int, window: int) -> np.ndarray:
        """The samples of a window in their order."""
        order, _ = self._epoch(epoch)
        blocks = order[window * self._window : (window + 1) * self._window]
        samples = [np.arange(self._starts[b], self._starts[b] + self._sizes[b]) for b in blocks]
        generator = np.random.default_rng([self._seed, epoch, window])
        return generator.permutation(np.concatenate(samples))

    def __call__(self, position: int) -> int:
        """The sample at a position of the endless order."""
        epoch, place = divmod(int(position), self._count)
        _, before = self._epoch(epoch)
        window = int(np.searchsorted(before, place, side="right")) - 1
        return int(self._mixed(epoch, window)[place - before[window]])
