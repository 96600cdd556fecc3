"""The samples of a data set that can be used, and their images as networks take them.

training, held_out = split(InMemory(open_source("emoji")))
source = named_split("held-out", training, held_out)
indices = usable_indices(source, range(len(source)), 256)
captions, images = [source.caption(i) for i in indices], centre_crops(source, indices, 32)
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Int, UInt8

from .skips import Skips
from .source import AbstractSource, UnusableSample
from .subset import Subset
from .transforms import Crop

_log = logging.getLogger("equildm.data")

SplitName = Literal["held-out", "training"]


def named_split(name: SplitName, training: Subset, held_out: Subset) -> Subset:
    """The split of that name.

    **Arguments:**

    - `name`: `"held-out"` or `"training"`.
    - `training`, `held_out`: see `split`.

    **Raises** `ValueError` if it is empty.
    """
    chosen, other = (held_out, "training") if name == "held-out" else (training, "held-out")
    if not len(chosen):
        raise ValueError(
            f"A split has captions; there are no {name} captions. Train with more held out "
            "(--held-out 0.2) or with single images held out (--hold-out image), or pass --split "
            f"{other}."
        )
    return chosen


def usable_indices(
    source: AbstractSource,
    indices: Iterable[int] | Int[np.ndarray, "samples"],
    count: int,
) -> list[int]:
    """The first `count` of these samples that have a caption and a readable image.

    No more samples are read than needed. The log names those that were skipped, and counts them.
    Wrap the source in `InMemory` if the images are used afterwards: then each is decoded once.

    **Arguments:**

    - `source`: of images and captions.
    - `indices`: in which order to read, for instance a permutation.
    - `count`: how many to return at most.

    **Raises** `ValueError` if none is usable.
    """
    skips = Skips(source)
    usable: list[int] = []
    for index in indices:
        if len(usable) == count:
            break
        if skips.attempt(int(index), source.__getitem__) is not None:
            usable.append(int(index))
    skips.summarise()
    skips.require(len(usable))
    return usable


def captions_or_empty(source: AbstractSource) -> list[str]:
    """The caption of each sample, empty where there is none. The log counts those.

    **Raises** `ValueError` if no sample has a caption.
    """
    captions: list[str] = []
    for index in range(len(source)):
        try:
            captions.append(source.caption(index))
        except UnusableSample:
            captions.append("")
    missing = captions.count("")
    if missing == len(captions):
        raise ValueError(
            f"Images are trained with their captions; none of {missing} images has one. Leave "
            "--captions own out. (With --hold-out caption names of folders are no captions.)"
        )
    if missing:
        _log.warning("%d of %d images have no caption: theirs is empty", missing, len(captions))
    return captions


def spread_indices(total: int, count: int) -> list[int]:
    """`count` of `total` indices, or all of them if there are fewer, spread evenly, in order."""
    return np.linspace(0, total, min(count, total), endpoint=False).astype(int).tolist()


def centre_crops(
    source: AbstractSource, indices: Sequence[int], size: int
) -> UInt8[np.ndarray, "images size size 3"]:
    """The images of these samples, resized and cropped in the middle to `size` pixels a side."""
    crop = Crop(size)
    return np.stack([crop(source.image(i)) for i in indices])
