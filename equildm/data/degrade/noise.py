"""Noise of sensors: additive noise, and the noise of counting photons."""

import dataclasses

import numpy as np

from .degradation import (
    AbstractDegradation,
    AbstractOperation,
    Canvas,
    check_probability,
    check_range,
    Pixels,
)

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601


@dataclasses.dataclass(frozen=True)
class GaussianNoise(AbstractOperation):
    """`x + sigma / 255 * n`, `n ~ N(0, 1)`, clipped.

    **Fields:**

    - `sigma`: deviation, in steps of 8 bits.
    - `grey`: whether the colours of a pixel share one number.
    """

    sigma: float
    grey: bool

    def __call__(self, canvas: Canvas, generator: np.random.Generator) -> Canvas:
        height, width, colours = canvas.pixels.shape
        shape = (height, width, 1 if self.grey else colours)
        noise = generator.standard_normal(shape, np.float32) * np.float32(self.sigma / 255)
        return canvas._replace(pixels=_clipped(canvas.pixels + noise))


@dataclasses.dataclass(frozen=True)
class PoissonNoise(AbstractOperation):
    """`x + scale (k / v - x)`, `k ~ Poisson(v x)`, clipped: brighter is noisier.

    `x` is rounded to 8 bits first, and `v` is the number of its distinct values, rounded up to a
    power of 2: a flat image counts few photons.

    **Fields:**

    - `scale`: strength.
    - `grey`: whether all colours of a pixel get the noise of the image's luma.
    """

    scale: float
    grey: bool

    def __call__(self, canvas: Canvas, generator: np.random.Generator) -> Canvas:
        light = canvas.pixels @ _LUMA[:, None] if self.grey else canvas.pixels
        steps = np.rint(_clipped(light) * 255).astype(np.uint8)
        light = steps.astype(np.float32) / np.float32(255)
        distinct = np.count_nonzero(np.bincount(steps.ravel(), minlength=256))
        most = 2.0 ** np.ceil(np.log2(distinct))
        noise = generator.poisson(light * most).astype(np.float32) / np.float32(most) - light
        return canvas._replace(pixels=_clipped(canvas.pixels + np.float32(self.scale) * noise))


@dataclasses.dataclass(frozen=True)
class RandomNoise(AbstractDegradation):
    """Gaussian or Poisson noise, grey or coloured (Wang et al. 2021, 3.1).

    **Fields:**

    - `gaussian`: probability of Gaussian noise; the rest is Poisson noise.
    - `sigma`, `scale`: ranges of the numbers of `GaussianNoise` and `PoissonNoise`.
    - `grey`: probability of grey noise.
    """

    gaussian: float = 0.5
    sigma: tuple[float, float] = (1.0, 30.0)
    scale: tuple[float, float] = (0.05, 3.0)
    grey: float = 0.4

    def __post_init__(self) -> None:
        check_probability("Gaussian noise", self.gaussian)
        check_probability("Grey noise", self.grey)
        check_range("A noise's deviation", self.sigma, 0.0)
        check_range("A noise's scale", self.scale, 0.0)

    def draw(self, generator: np.random.Generator) -> AbstractOperation:
        kind, grey, place = generator.random(3)
        if kind < self.gaussian:
            return GaussianNoise(_between(self.sigma, place), bool(grey < self.grey))
        return PoissonNoise(_between(self.scale, place), bool(grey < self.grey))


def _between(ends: tuple[float, float], place: float) -> float:
    return float(ends[0] + place * (ends[1] - ends[0]))


def _clipped(pixels: Pixels) -> Pixels:
    return np.clip(pixels, 0, 1)
