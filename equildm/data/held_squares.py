"""Squares of held-out images with degraded versions, on which super-resolution is scored."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from .degrade import AbstractDegradation, degraded
from .skips import Skips
from .source import AbstractSource


class HeldSquares(NamedTuple):
    """Pairs of squares, and the image that each was cut from."""

    images: UInt8[np.ndarray, "squares size size 3"]
    """The original squares."""
    low: UInt8[np.ndarray, "squares low_size low_size 3"]
    """Their degraded versions."""
    groups: Int[np.ndarray, "squares"]
    """Index of the source image of each square."""


def held_squares(
    source: AbstractSource,
    size: int,
    degradation: AbstractDegradation,
    count: int,
    *,
    texture: float = 6.0,
) -> HeldSquares:
    """Cuts squares at random places, from one image after the other, and degrades them.

    The same arguments give the same squares. Images that are broken or too small, and squares with
    too little to see, are passed over.

    **Arguments:**

    - `source`: the held-out images.
    - `size`: side of the squares in pixels.
    - `degradation`: makes the degraded versions.
    - `count`: number of squares; fewer are returned where the images do not offer so many.
    - `texture`: least standard deviation of a square's pixels, of 255.

    **Raises** `ValueError` if no square can be cut.
    """
    skips = Skips(source)
    images: list[np.ndarray] = []
    low: list[np.ndarray] = []
    groups: list[int] = []
    tries = 0
    while len(source) and len(images) < count and tries < 20 * count + 20 * len(source):
        index, tries = tries % len(source), tries + 1
        generator = np.random.default_rng((index, tries))
        image = skips.attempt(index, source.image)
        if image is None or min(image.shape[:2]) < size:
            continue
        room = np.array(image.shape[:2]) - size
        top, left = (int(x) for x in generator.random(2) * (room + 0.999))
        square = image[top : top + size, left : left + size]
        if square.std() > texture:
            images.append(square)
            low.append(degraded(square, degradation, generator))
            groups.append(index)
    if not images:
        raise ValueError(
            f"Held-out images have at least {size}x{size} pixels and some texture, received "
            f"{len(source)} held-out images of which none has. Hold out a larger share, or train "
            "on smaller squares (--size)."
        )
    return HeldSquares(np.stack(images), np.stack(low), np.array(groups))
