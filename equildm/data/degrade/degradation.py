"""The interface of degradations: distributions over operations."""

import abc
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

Pixels = Float[np.ndarray, "height width rgb"]


class Canvas(NamedTuple):
    """An image between two operations.

    **Fields:**

    - `pixels`: float32 in [0, 1], of any size.
    - `full`: height and width of the original image, of which sizes are fractions.
    """

    pixels: Pixels
    full: tuple[int, int]


class AbstractOperation(abc.ABC):
    """A function of an image whose numbers are all fixed."""

    @abc.abstractmethod
    def __call__(self, canvas: Canvas, generator: np.random.Generator) -> Canvas:
        """The image after it. Only noise uses the generator; nothing else is random."""


class AbstractDegradation(abc.ABC):
    """A distribution over operations."""

    @abc.abstractmethod
    def draw(self, generator: np.random.Generator) -> AbstractOperation:
        """One operation."""


def degraded(
    image: UInt8[np.ndarray, "height width 3"],
    degradation: AbstractDegradation,
    generator: np.random.Generator,
) -> UInt8[np.ndarray, "low_height low_width 3"]:
    """The image after one draw of the degradation. The generator's state determines it."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            "An image to degrade must be uint8 with shape (height, width, 3); got "
            f"{image.dtype} with shape {image.shape}. Convert it to 8-bit RGB."
        )
    height, width = image.shape[:2]
    operation = degradation.draw(generator)
    canvas = Canvas(image.astype(np.float32) / np.float32(255), (height, width))
    pixels = operation(canvas, generator).pixels
    return np.rint(np.clip(pixels, 0, 1) * np.float32(255)).astype(np.uint8)


def check_range(what: str, ends: tuple[float, float], least: float) -> None:
    """Raises `ValueError` unless `least <= low <= high`."""
    low, high = ends
    if not least <= low <= high:
        raise ValueError(
            f"{what} is drawn from a range (low, high) of numbers from {least:g} on; got {ends}."
        )


def check_probability(what: str, value: float) -> None:
    """Raises `ValueError` unless it is one."""
    if not 0 <= value <= 1:
        raise ValueError(f"{what} is a probability between 0 and 1; got {value}.")
