"""Blurring by a random kernel."""

import dataclasses
import functools
import math
from typing import Literal

import numpy as np

from .chain import pick
from .degradation import AbstractDegradation, AbstractOperation, Canvas, check_range, Pixels
from .kernels import AbstractKernel, Gaussian, Plateau, Sinc

SIZES = (7, 9, 11, 13, 15, 17, 19, 21)
Shape = Literal["gaussian", "generalised", "plateau"]


@dataclasses.dataclass(frozen=True)
class Filter(AbstractOperation):
    """Correlation with a kernel; the image is mirrored at its edges, edge pixels once."""

    kernel: AbstractKernel

    def __call__(self, canvas: Canvas, generator: np.random.Generator) -> Canvas:
        del generator
        return canvas._replace(pixels=filtered(canvas.pixels, self.kernel.weights()))


@dataclasses.dataclass(frozen=True)
class Blur(AbstractDegradation):
    """A Gaussian, a generalised Gaussian or a plateau, round or oval (Wang et al. 2021, 3.1).

    **Fields:**

    - `sigma`: range of the standard deviations, in pixels; an oval kernel has two, drawn apart.
    - `sizes`: sides of the kernel, all equally likely.
    - `shapes`: shape, whether it is round, and its probability.
    - `generalised_power`, `plateau_power`: ranges of the powers. Where a range contains 1, half of
        the draws are uniform below 1, and half above.
    """

    sigma: tuple[float, float] = (0.2, 3.0)
    sizes: tuple[int, ...] = SIZES
    shapes: tuple[tuple[Shape, bool, float], ...] = (
        ("gaussian", True, 0.45),
        ("gaussian", False, 0.25),
        ("generalised", True, 0.12),
        ("generalised", False, 0.03),
        ("plateau", True, 0.12),
        ("plateau", False, 0.03),
    )
    generalised_power: tuple[float, float] = (0.5, 4.0)
    plateau_power: tuple[float, float] = (1.0, 2.0)

    def __post_init__(self) -> None:
        check_range("A blur's deviation", self.sigma, 1e-3)
        check_range("A blur's power", self.generalised_power, 1e-3)
        check_range("A plateau's power", self.plateau_power, 1e-3)
        if abs(sum(probability for *_, probability in self.shapes) - 1) > 1e-6:
            raise ValueError(f"The probabilities of a blur's shapes sum to 1; got {self.shapes}.")

    def draw(self, generator: np.random.Generator) -> Filter:
        size = int(generator.choice(self.sizes))
        shape, is_round, _ = self.shapes[pick(generator, [p for *_, p in self.shapes])]
        first, second = generator.uniform(*self.sigma, size=2)
        angle = generator.uniform(-math.pi, math.pi)
        sigmas, angle = ((first, first), 0.0) if is_round else ((first, second), angle)
        power = generator.random(2)
        if shape == "gaussian":
            return Filter(Gaussian(size, sigmas, angle))
        if shape == "generalised":
            return Filter(Gaussian(size, sigmas, angle, _power(self.generalised_power, *power)))
        return Filter(Plateau(size, sigmas, angle, _power(self.plateau_power, *power)))


@dataclasses.dataclass(frozen=True)
class SincBlur(AbstractDegradation):
    """A sinc filter (Wang et al. 2021, 3.2).

    **Fields:**

    - `cutoff`: range of the highest frequency that passes, in radians a pixel.
    - `small_cutoff`: the range for kernels under 13 pixels, which cannot resolve lower cutoffs.
    - `sizes`: sides of the kernel, all equally likely.
    """

    cutoff: tuple[float, float] = (math.pi / 5, math.pi)
    small_cutoff: tuple[float, float] = (math.pi / 3, math.pi)
    sizes: tuple[int, ...] = SIZES

    def __post_init__(self) -> None:
        check_range("A cutoff", self.cutoff, 1e-3)
        check_range("A small kernel's cutoff", self.small_cutoff, 1e-3)

    def draw(self, generator: np.random.Generator) -> Filter:
        size = int(generator.choice(self.sizes))
        ends = self.small_cutoff if size < 13 else self.cutoff
        return Filter(Sinc(size, float(generator.uniform(*ends))))


def filtered(pixels: Pixels, weights: np.ndarray) -> Pixels:
    """Correlation of each colour with `weights`, mirrored at the edges.

    A Fourier transform is 6 times as fast as the sums with a kernel of 21 pixels.
    """
    margin = weights.shape[0] // 2
    height, width = pixels.shape[:2]
    rows, columns = (_mirrored(side, margin) for side in (height, width))
    # Colours first: the transform then runs along contiguous memory.
    planes = np.ascontiguousarray(np.moveaxis(pixels[rows[:, None], columns], -1, 0))
    sides = tuple(_smooth(side) for side in planes.shape[1:])
    transform = np.conj(np.fft.rfft2(weights, sides)) * np.fft.rfft2(planes, sides)
    return np.moveaxis(np.fft.irfft2(transform, sides)[:, :height, :width], 0, -1)


def _mirrored(side: int, margin: int) -> np.ndarray:
    """The indices of a padded axis; an image smaller than the margin is mirrored again."""
    period = max(2 * side - 2, 1)
    places = np.abs(np.arange(-margin, side + margin)) % period
    return np.minimum(places, period - places) if side > 1 else np.zeros_like(places)


@functools.cache
def _smooth(side: int) -> int:
    """The next length without a prime factor above 5."""
    while True:
        rest = side
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return side
        side += 1


def _power(ends: tuple[float, float], side: float, place: float) -> float:
    low, high = ends
    if low < 1 < high:
        low, high = (low, 1.0) if side < 0.5 else (1.0, high)
    return low + place * (high - low)
