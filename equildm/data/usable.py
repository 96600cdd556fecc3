"""The samples of a data set that can be used, and their images as networks take them.

training, held_out = split(InMemory(open_source("emoji")))
source = named_split("held-out", training, held_out)
indices = usable_indices(source, range(len(source)), 256)
captions, images = [source.caption(i) for i in indices], centre_crops(source, indices, 32)
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Int, UInt8

from .skips import Skips
from .source import AbstractSource
from .subset import Subset
from .transforms import Crop

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
            f"A split has captions; there are no {name} captions. Train with --held-out above 0 "
            f"and --hold-out auto, or pass --split {other}."
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


def spread_indices(total: int, count: int) -> list[int]:
    """`count` of `total` indices, or all of them if there are fewer, spread evenly, in order."""
    return np.linspace(0, total, min(count, total), endpoint=False).astype(int).tolist()


def centre_crops(
    source: AbstractSource, indices: Sequence[int], size: int
) -> UInt8[np.ndarray, "images size size 3"]:
    """The images of these samples, resized and cropped in the middle to `size` pixels a side."""
    crop = Crop(size)
    return np.stack([crop(source.image(i)) for i in indices])
