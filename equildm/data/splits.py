"""The split of a source by caption or by image, and how a run's split is told again."""

import logging
import math
from typing import get_args, Literal, TypeAlias

import numpy as np
from jaxtyping import UInt64

from .source import AbstractSource
from .subset import Subset
from .text_hash import NO_TEXT, text_hash

_log = logging.getLogger("equildm.data")

Unit: TypeAlias = Literal["caption", "image"]
HoldOut: TypeAlias = Literal["auto", "caption", "image"]
"""What is held out: whole captions, single images, or what suits the data (`split_unit`)."""

_Hashes: TypeAlias = UInt64[np.ndarray, "samples"]

_REPEATS = 10
"""Samples for each distinct caption, on average, from which on captions count as classes."""

_RECORDED = 32
"""Hashes in a record of a split: where it has all samples, each that is renamed is noticed."""
_CANDIDATES = 4096
"""Least hashes of which those are the distinct ones."""
_TOLD_BY = {"caption": "text", "image": "names"}


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
    source: AbstractSource,
    fraction: float = 0.05,
    *,
    by: HoldOut = "auto",
    record: str = "",
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
    - `record`: that of an earlier training split (`Subset.record`). Then it says what is held out.

    **Raises** `ValueError` if nothing is left for training; by image if the names do not tell the
    images apart: if there are no more distinct ones than a tenth of the samples; and where samples
    of the record are gone, for under another name they may be held out now.
    """
    if by not in get_args(HoldOut):
        raise ValueError(
            f"A split is by {', '.join(get_args(HoldOut))}; got {by!r}. Use for instance 'auto'."
        )
    recorded = unit_of(record) if record else None
    hashes = np.zeros(0, np.uint64) if "image" in (by, recorded) else _captions(source)
    if recorded is not None:
        unit = recorded
    elif by == "auto":
        distinct = _distinct(hashes)
        unit = _unit(distinct, len(hashes))
        if fraction > 0 and unit == "image":
            _log.warning("%d captions for %d images: images are held out", distinct, len(source))
        elif fraction > 0 and 2 * distinct <= len(source):
            share = _distinct(hashes[hashes < np.uint64(_bound(fraction))])
            text = "%d captions for %d images: whole captions are held out, %d of them"
            _log.warning(text, distinct, len(source), share)
    else:
        unit = by
    if unit == "image":
        hashes = _names(source, fraction)
    if fraction > 0:
        _check_record(record, hashes)
    held_out = hashes < np.uint64(_bound(fraction))
    if len(held_out) and held_out.all():
        raise ValueError(
            f"A split must leave samples for training; by {unit}, the share {fraction} holds out "
            f"all {len(source)} samples. Hold out less, or single images (--hold-out image)."
        )
    training = Subset(source, np.flatnonzero(~held_out), record=_record(unit, hashes[~held_out]))
    return training, Subset(source, np.flatnonzero(held_out))


def _record(unit: Unit, trained: _Hashes) -> str:
    """The unit and the least hashes of what is trained on, those next to what is held out."""
    trained = trained[trained != NO_TEXT]
    if len(trained) > _CANDIDATES:
        trained = np.partition(trained, _CANDIDATES)[:_CANDIDATES]
    least = np.unique(trained)[:_RECORDED]
    return f"{unit}:{','.join(f'{number:016x}' for number in least.tolist())}"


def unit_of(record: str) -> Unit:
    """What is held out beside the training split of that record."""
    return "image" if record.startswith("image:") else "caption"


def _check_record(record: str, hashes: _Hashes) -> None:
    """Refuses data in which something of the record is gone."""
    unit, _, numbers = record.partition(":")
    known = np.array([int(number, 16) for number in numbers.split(",") if number], np.uint64)
    near = hashes[hashes <= max(known, default=0)]  # few of ten million
    missing = np.count_nonzero(~np.isin(known, near))
    if missing:
        raise ValueError(
            f"What a run holds out is told by the {unit}s' {_TOLD_BY[unit]}; of {len(known)} "
            f"{unit}s that it was trained on, {missing} are not in the data any more. They were "
            "removed, or have another one, by which they may be held out now. Give the data back "
            "as they were, or train again."
        )


def split_unit(source: AbstractSource) -> Unit:
    """What `split(..., by="auto")` holds out: images where captions repeat, else captions.

    Captions repeat if there are ten samples or more for each distinct one on average, as in a set
    of classes. Of so few captions a share would be none, or all images of a class. A source without
    captions is split by image too.
    """
    captions = _captions(source)
    return _unit(_distinct(captions), len(captions))


def _unit(distinct: int, samples: int) -> Unit:
    return "image" if distinct * _REPEATS <= samples else "caption"


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
