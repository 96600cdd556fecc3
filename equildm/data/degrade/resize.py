"""Resizes of images, as OpenCV and PyTorch do them without antialiasing."""

import dataclasses
import functools
import math
from typing import Literal

import numpy as np
from jaxtyping import Float

from .chain import pick
from .degradation import AbstractDegradation, AbstractOperation, Canvas, check_range, Pixels

Mode = Literal["area", "bilinear", "bicubic", "antialiased"]
MODES: tuple[Mode, ...] = ("area", "bilinear", "bicubic")
"""The modes of the published chain."""


@dataclasses.dataclass(frozen=True)
class Resize(AbstractOperation):
    """Resizes to a fraction of the original image's size, rounded down, at least one pixel.

    `area` is the mean of the pixels that a new one covers. `bilinear` and `bicubic` (a = -0.75)
    take 2 and 4 pixels a side however small the result is, so that they alias, as in the published
    chain and in many programs. `antialiased` is Pillow's bicubic (a = -0.5, with a wider kernel
    where the image shrinks).
    """

    fraction: float
    mode: Mode

    def __call__(self, canvas: Canvas, generator: np.random.Generator) -> Canvas:
        del generator
        # Against rounding errors: 1/3 of 96 is 32.
        height, width = (max(1, math.floor(side * self.fraction + 1e-6)) for side in canvas.full)
        return canvas._replace(pixels=resized(canvas.pixels, (height, width), self.mode))


@dataclasses.dataclass(frozen=True)
class RandomResize(AbstractDegradation):
    """Resizes up, down or not at all, by a random factor and mode.

    **Fields:**

    - `of`: the fraction of the original image's size that factors multiply.
    - `factors`: their range; factors up are drawn from its part above 1, factors down from that
        below.
    - `up`, `down`: probabilities; the rest has factor 1.
    """

    of: float = 1.0
    factors: tuple[float, float] = (0.15, 1.5)
    up: float = 0.2
    down: float = 0.7

    def __post_init__(self) -> None:
        check_range("A resize's factor", self.factors, 1e-3)
        low, high = self.factors
        if min(self.up, self.down) < 0 or self.up + self.down > 1 + 1e-9 or not low <= 1 <= high:
            raise ValueError(
                "A random resize takes probabilities of up and down that sum to at most 1, and a "
                f"range of factors around 1; got {self.up}, {self.down} and {self.factors}."
            )

    def draw(self, generator: np.random.Generator) -> Resize:
        low, high = self.factors
        ends = ((1.0, high), (low, 1.0), (1.0, 1.0))
        way = pick(generator, [self.up, self.down, 1 - self.up - self.down])
        factor = float(generator.uniform(*ends[way]))
        return Resize(self.of * factor, MODES[int(generator.integers(len(MODES)))])


def resized(
    pixels: Pixels, size: tuple[int, int], mode: Mode
) -> Float[np.ndarray, "new_height new_width rgb"]:
    """The image at `size`, `(height, width)`: a product with a matrix along each axis."""
    height, width, colours = pixels.shape
    if (height, width) == tuple(size):
        return pixels
    rows, columns = _matrix(height, size[0], mode), _matrix(width, size[1], mode)
    pixels = (rows @ pixels.reshape(height, -1)).reshape(size[0], width, colours)
    return np.ascontiguousarray(np.matmul(columns, pixels))


@functools.lru_cache(maxsize=512)
def _matrix(old: int, new: int, mode: Mode) -> np.ndarray:
    """The weight of each old pixel of an axis in each new one."""
    matrix = np.zeros((new, old), np.float64)
    if mode == "area":
        for place in range(new):
            first, last = place * old // new, -(-(place + 1) * old // new)
            matrix[place, first:last] = 1 / (last - first)
        return matrix.astype(np.float32)
    # Pixels are squares: centres lie at halves, in both images.
    position = (np.arange(new) + 0.5) * old / new - 0.5
    if mode == "antialiased":
        width = max(old / new, 1.0)
        matrix = _cubic((position[:, None] - np.arange(old)) / width, -0.5)
        return (matrix / matrix.sum(1, keepdims=True)).astype(np.float32)
    reach, weigh = (1, _linear) if mode == "bilinear" else (2, _cubic)
    nearest = np.floor(position).astype(int)
    for offset in range(1 - reach, 1 + reach):
        tap = nearest + offset  # beyond the edge, its own pixel
        np.add.at(matrix, (np.arange(new), np.clip(tap, 0, old - 1)), weigh(position - tap))
    return matrix.astype(np.float32)


def _linear(x: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(x), 0)


def _cubic(x: np.ndarray, a: float = -0.75) -> np.ndarray:
    """Keys' kernel with the parameter of OpenCV and PyTorch."""
    x = np.abs(x)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
