"""Which captions each sample has, and which of them it gets when it comes up."""

from collections.abc import Iterable, Sequence
from typing import final

import numpy as np
from jaxtyping import Int


@final
class CaptionLists:
    """The captions of each sample, by their numbers. Most data sets have one for each.

    **Arguments:**

    - `numbers`: those of the first sample's captions, then those of the second's, and so on.
    - `starts`: where each sample's begin, and the end of all. By default each has one.
    """

    def __init__(
        self,
        numbers: Int[np.ndarray, "captions"],
        starts: Int[np.ndarray, "samples_and_one"] | None = None,
    ):
        self._numbers, self._starts = numbers, starts

    @classmethod
    def of(cls, lists: Iterable[Sequence[int]]) -> "CaptionLists":
        """From the numbers of each sample."""
        lists = list(lists)
        numbers = np.asarray([number for numbers in lists for number in numbers], np.int64)
        if all(len(one) == 1 for one in lists):
            return cls(numbers)
        return cls(numbers, np.cumsum([0, *map(len, lists)]))

    @property
    def is_single(self) -> bool:
        """Whether each sample has one caption, so that none needs to be drawn."""
        return self._starts is None

    @property
    def average(self) -> float:
        """How many captions a sample has on average."""
        return 1.0 if self._starts is None else len(self._numbers) / (len(self._starts) - 1)

    def first(self, indices: Int[np.ndarray, "batch"]) -> Int[np.ndarray, "batch"]:
        """The number of the first caption of each of these samples."""
        return self._numbers[indices if self._starts is None else self._starts[indices]]

    def drawn(self, index: int, generator: np.random.Generator | None) -> np.int64:
        """The number of one of a sample's captions, each as likely; without generator the first."""
        if self._starts is None:
            return self._numbers[index]
        start, stop = self._starts[index : index + 2]
        return self._numbers[start if generator is None else generator.integers(start, stop)]


def drawing(average: float) -> str:
    """What the log says of several captions."""
    return f"{average:.3g} captions for each image on average: one is drawn each epoch"
