"""Parts of a source: any selection of samples, and the split by caption."""

import hashlib
from collections.abc import Sequence
from typing import final, Literal

import numpy as np
from jaxtyping import Int, UInt8

from .source import AbstractSource, digest, UnusableSample


@final
class Subset(AbstractSource):
    """The samples of `source` at `indices`, in that order."""

    def __init__(self, source: AbstractSource, indices: Sequence[int] | Int[np.ndarray, "samples"]):
        self._source = source
        self._indices = np.asarray(indices, np.int64).reshape(-1)
        wrong = self._indices[(self._indices < 0) | (self._indices >= len(source))]
        if len(wrong):
            raise ValueError(
                f"A subset's indices must lie in 0 to {len(source) - 1}; got {int(wrong[0])}. "
                "Choose them from range(len(source))."
            )

    @property
    def fingerprint(self) -> str:
        indices = hashlib.blake2b(self._indices.tobytes(), digest_size=16).hexdigest()
        return digest(["subset", self._source.fingerprint, indices])

    def __len__(self) -> int:
        return len(self._indices)

    def name(self, index: int) -> str:
        return self._source.name(int(self._indices[index]))

    def caption(self, index: int) -> str:
        return self._source.caption(int(self._indices[index]))

    def image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        return self._source.image(int(self._indices[index]))


def is_held_out(caption: str, fraction: float = 0.05) -> bool:
    """Whether a caption is held out: a property of its text alone.

    It is if a hash of the caption, read as a number in [0, 1), lies under `fraction`. So the answer
    is the same on every machine and does not change when the data set grows, and a larger fraction
    holds out a superset.
    """
    if not 0 <= fraction < 1:
        raise ValueError(
            f"The held-out fraction must be in [0, 1); got {fraction}. Use for instance 0.05."
        )
    number = int.from_bytes(hashlib.blake2b(caption.encode(), digest_size=8).digest(), "big")
    return number < fraction * 2**64


def split(
    source: AbstractSource, fraction: float = 0.05, *, by: Literal["caption", "name"] = "caption"
) -> tuple[Subset, Subset]:
    """`source` as (training, held out), by caption: all images of one caption are on one side.

    A sample without a caption goes to the training side, where it is counted and skipped. Where
    captions do not matter, `by="name"` splits by the names of the samples.
    """
    held_out = np.zeros(len(source), bool)
    for index in range(len(source)):
        try:
            text = source.caption(index) if by == "caption" else source.name(index)
            held_out[index] = is_held_out(text, fraction)
        except UnusableSample:
            continue
    return Subset(source, np.flatnonzero(~held_out)), Subset(source, np.flatnonzero(held_out))
