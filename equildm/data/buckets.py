"""Shapes of one area for images of different aspect, and the order of batches that have one shape.

Images that are cut to squares lose their sides: heads and feet of people, most of a panorama. With
buckets each image keeps its aspect nearly, and all images of a batch have one shape (NovelAI 2022;
Podell et al. 2023, section 2.3).
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np

_PERIOD = 2**16


@dataclasses.dataclass(frozen=True)
class Buckets:
    """The shapes whose sides are multiples of `step`, of at most `size` x `size` pixels.

    None of them fits into another one.

        Buckets(512).shapes    # (384, 640), (448, 576), (512, 512), (576, 448), (640, 384)

    **Arguments:**

    - `size`: side of the square that has the area, in pixels.
    - `step`: what the sides divide by: at least the VAE's factor times the UNet's.
    - `max_ratio`: the longer side over the shorter one, at most.

    **Raises** `ValueError` for values that cannot be.
    """

    size: int
    step: int = 64
    max_ratio: float = 2.0

    def __post_init__(self) -> None:
        if self.step < 1 or self.size < self.step or self.size % self.step:
            raise ValueError(
                f"The size of buckets must be a multiple of their step; got size {self.size} and "
                f"step {self.step}. Use for instance a step of {max(1, self.size // 8)}."
            )
        if not self.max_ratio >= 1:  # nan is refused too
            raise ValueError(
                "The ratio of a bucket's sides is that of the longer one to the shorter, at least "
                f"1; got {self.max_ratio}. Use 2."
            )

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """`(height, width)` of each, from the widest to the highest."""
        area = self.size**2
        pairs = {
            (height, area // height // self.step * self.step)
            for height in range(self.step, area // self.step + 1, self.step)
        }
        pairs |= {(width, height) for height, width in pairs}
        fit = {pair for pair in pairs if max(pair) <= self.max_ratio * min(pair)}
        return tuple(sorted(a for a in fit if not any(_contains(b, a) for b in fit - {a})))

    def choose(self, height: int, width: int) -> int:
        """The number of the shape that cuts least of an image: whose aspect is nearest."""
        aspect = math.log(height / width)
        return int(np.argmin([abs(math.log(h / w) - aspect) for h, w in self.shapes]))


def _contains(shape: tuple[int, int], other: tuple[int, int]) -> bool:
    return shape[0] >= other[0] and shape[1] >= other[1]


class BucketOrder:
    """Which bucket each batch of an endless training is of.

    In every period of some 65,536 batches each bucket has its share of them, as of the samples, in
    an order drawn from the seed and the number of the period. A bucket with fewer samples than
    that share resolves has one batch a period.

    **Arguments:**

    - `counts`: samples of each bucket, at least 1.
    - `seed`: of the order.
    """

    def __init__(self, counts: Sequence[int], seed: int):
        shares = np.asarray(counts, np.float64) / sum(counts) * _PERIOD
        self._batches = np.maximum(1, np.round(shares)).astype(np.int64)
        self._seed = seed
        self._period = functools.lru_cache(2)(self._drawn)

    def _drawn(self, period: int) -> tuple[np.ndarray, np.ndarray]:
        """The bucket of each batch, and how many batches of that bucket are before it."""
        generator = np.random.default_rng([self._seed, period])
        order = generator.permutation(np.repeat(np.arange(len(self._batches)), self._batches))
        before = np.empty(len(order), np.int64)
        for bucket, count in enumerate(self._batches):
            before[order == bucket] = np.arange(count)
        return order, before

    def __call__(self, batch: int) -> tuple[int, int]:
        """`(bucket, number of the batch among those of its bucket)`."""
        period, place = divmod(batch, int(self._batches.sum()))
        order, before = self._period(period)
        bucket = int(order[place])
        return bucket, period * int(self._batches[bucket]) + int(before[place])
