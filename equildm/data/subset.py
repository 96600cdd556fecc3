"""Parts of a source: any selection of samples, and the split by caption or by image."""

import hashlib
import logging
import math
from collections.abc import Sequence
from typing import final, get_args, Literal, TypeAlias

import numpy as np
from jaxtyping import Int, UInt64

from .source import AbstractSource, digest
from .text_hash import NO_TEXT, text_hash
from .wrapped_source import AbstractWrappedSource

_log = logging.getLogger("equildm.data")

HoldOut: TypeAlias = Literal["auto", "caption", "image"]
"""What is held out: whole captions, single images, or what suits the data (`split_unit`)."""

_Hashes: TypeAlias = UInt64[np.ndarray, "samples"]

_REPEATS = 10
"""Samples for each distinct caption, on average, from which on captions count as classes."""


@final
class Subset(AbstractWrappedSource):
    """The samples of `source` at `indices`, in that order."""

    def __init__(self, source: AbstractSource, indices: Sequence[int] | Int[np.ndarray, "samples"]):
        super().__init__(source)
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

    @property
    def file_starts(self) -> Int[np.ndarray, "files"]:
        files = np.searchsorted(self._source.file_starts, self._indices, side="right")
        return np.flatnonzero(np.diff(files, prepend=-1))

    def _place(self, index: int) -> int:
        return int(self._indices[index])

    def name_hashes(self) -> UInt64[np.ndarray, "samples"]:
        return self._source.name_hashes()[self._indices]

    def caption_hashes(self) -> UInt64[np.ndarray, "samples"]:
        return self._source.caption_hashes()[self._indices]


def is_held_out(text: str, fraction: float = 0.05) -> bool:
    """Whether a caption, or the image of a name, is held out: a property of its text alone.

    It is if a hash of the text, read as a number in [0, 1), lies under `fraction`. So the answer
    is the same on every machine and does not change when the data set grows, and a larger fraction
    holds out a superset.
    """
    return text_hash(text) < _bound(fraction)


def _bound(fraction: float) -> int:
    """The number of hashes that are held out, of 2^64: those under it."""
    if not 0 <= fraction < 1:
        raise ValueError(
            f"The held-out fraction must be in [0, 1); got {fraction}. Use for instance 0.05."
        )
    return math.ceil(fraction * 2**64)


def split(
    source: AbstractSource, fraction: float = 0.05, *, by: HoldOut = "auto"
) -> tuple[Subset, Subset]:
    """`source` as (training, held out).

    By caption, all images of one caption are on one side, and a sample without a caption goes to
    the training side, where it is counted and skipped. By image, each sample goes by its name, and
    samples of one name stay together. Either way a sample's side follows from its own text alone
    (`is_held_out`), whatever else the source holds. Only the choice that "auto" makes depends on
    all captions, see `split_unit`.

    **Arguments:**

    - `source`: the samples.
    - `fraction`: expected share of the captions, or of the images, that is held out.
    - `by`: what is held out.

    **Raises** `ValueError` if nothing is left for training, and by image if the names do not tell
    the images apart: if there are no more distinct ones than a tenth of the samples.
    """
    if by not in get_args(HoldOut):
        raise ValueError(
            f"A split is by {', '.join(get_args(HoldOut))}; got {by!r}. Use for instance 'auto'."
        )
    hashes = np.zeros(0, np.uint64) if by == "image" else _captions(source)
    unit = _unit(hashes) if by == "auto" else by
    if unit == "image" and by == "auto" and fraction > 0:
        distinct = _distinct(hashes)
        _log.warning("%d captions for %d images: images are held out", distinct, len(source))
    if unit == "image":
        hashes = _names(source, fraction)
    held_out = hashes < np.uint64(_bound(fraction))
    if len(held_out) and held_out.all():
        raise ValueError(
            f"A split must leave samples for training; by {unit}, the share {fraction} holds out "
            f"all {len(source)} samples. Hold out less, or single images (--hold-out image)."
        )
    return Subset(source, np.flatnonzero(~held_out)), Subset(source, np.flatnonzero(held_out))


def split_unit(source: AbstractSource) -> Literal["caption", "image"]:
    """What `split(..., by="auto")` holds out: images where captions repeat, else captions.

    Captions repeat if there are ten samples or more for each distinct one on average, as in a set
    of classes. Of so few captions a share would be none, or all images of a class. A source without
    captions is split by image too.
    """
    return _unit(_captions(source))


def _unit(captions: _Hashes) -> Literal["caption", "image"]:
    return "image" if _distinct(captions) * _REPEATS <= len(captions) else "caption"


def _distinct(hashes: _Hashes) -> int:
    """The number of distinct texts, without the missing ones."""
    ordered = np.sort(hashes)  # ten times as fast as numpy.unique for millions
    distinct = int(np.count_nonzero(ordered[1:] != ordered[:-1])) + (len(ordered) > 0)
    return distinct - int(len(ordered) > 0 and ordered[-1] == NO_TEXT)


def _captions(source: AbstractSource) -> _Hashes:
    """The hash of each caption."""
    captions = source.caption_hashes()
    source.remarks.log()
    return captions


def _names(source: AbstractSource, fraction: float) -> _Hashes:
    """The hash of each name, if the names tell images apart."""
    names = source.name_hashes()
    if fraction > 0 and len(names) and (distinct := _distinct(names)) * _REPEATS <= len(names):
        raise ValueError(
            f"A split by image is by the samples' names, which must tell images apart; got "
            f"{distinct} names for {len(names)} samples, such as {source.name(0)!r}. Name the "
            "samples differently, or hold out captions (--hold-out caption)."
        )
    return names
