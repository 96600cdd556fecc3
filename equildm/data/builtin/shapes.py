"""Coloured shapes with captions, whose attributes are known, and can be measured in an image.

They need no files, and show without a classifier whether a sample matches its caption.
"""

import functools
import itertools
import math
from typing import final, NamedTuple

import numpy as np
from jaxtyping import Bool, Complex, Float, Float32, UInt8

from ..source import AbstractSource, digest

SIZES = {"small": 0.12, "large": 0.21}
"""Half the side or the radius, as a share of the image's side."""

COLOURS = {
    "red": (214, 39, 40),
    "green": (34, 139, 34),
    "blue": (31, 80, 220),
    "yellow": (250, 210, 0),
    "purple": (130, 50, 170),
    "orange": (250, 130, 20),
    "black": (20, 20, 20),
    "pink": (250, 130, 190),
}

SHAPES = ("circle", "square", "triangle", "cross")

POSITIONS = {
    f"{row} {column}".strip() or "center": (y, x)
    for row, y in (("top", 0.25), ("", 0.5), ("bottom", 0.75))
    for column, x in (("left", 0.25), ("", 0.5), ("right", 0.75))
}

_JITTER = 0.03  # of the side, either way: images of one caption differ
_OVERSAMPLING = 4  # sub-pixels a side, for soft edges


class Attributes(NamedTuple):
    """The content of a caption of `ShapesSource`."""

    size: str
    colour: str
    shape: str
    position: str

    @property
    def caption(self) -> str:
        """The caption with these attributes."""
        preposition = "in" if self.position == "center" else "at"
        return f"a {self.size} {self.colour} {self.shape} {preposition} the {self.position}"


COMBINATIONS = tuple(
    itertools.starmap(Attributes, itertools.product(SIZES, COLOURS, SHAPES, POSITIONS))
)
_BY_CAPTION = {attributes.caption: attributes for attributes in COMBINATIONS}


class Description(NamedTuple):
    """The attributes that `describe` measures, and the share of the image that they explain."""

    attributes: Attributes
    agreement: float


@final
class ShapesSource(AbstractSource):
    """`count` images of one shape on white, over all 576 combinations of attributes.

    Samples 0 to 575 are the combinations in a shuffled order, and so on. The position of a shape
    varies by 3 % of the side. Everything follows from the index and `seed`.
    """

    def __init__(self, *, side: int = 64, count: int = 4 * len(COMBINATIONS), seed: int = 0):
        if side < 32:
            raise ValueError(
                f"Shapes need a side of at least 32 pixels to be told apart; got {side}."
            )
        if count < 1:
            raise ValueError(f"A data set must have at least 1 sample; got count={count}.")
        self._side = side
        self._count = count
        self._seed = seed
        self._order = np.random.default_rng([seed, 0]).permutation(len(COMBINATIONS))

    @property
    def fingerprint(self) -> str:
        return digest(["shapes", 1, self._side, self._count, self._seed])

    def __len__(self) -> int:
        return self._count

    def name(self, index: int) -> str:
        return f"shape {index}"

    def attributes(self, index: int) -> Attributes:
        """The attributes of a sample."""
        return COMBINATIONS[self._order[index % len(COMBINATIONS)]]

    def caption(self, index: int) -> str:
        return self.attributes(index).caption

    def image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        shift = np.random.default_rng([self._seed, 1, index]).uniform(-_JITTER, _JITTER, 2)
        return draw(self.attributes(index), self._side, (float(shift[0]), float(shift[1])))


def draw(
    attributes: Attributes, side: int, shift: tuple[float, float] = (0.0, 0.0)
) -> UInt8[np.ndarray, "side side 3"]:
    """An image of the attributes, `shift` (down, right; in shares of the side) off the position."""
    size, colour, shape, position = attributes
    y, x = POSITIONS[position]
    cover = _cover(shape, SIZES[size], (y + shift[0], x + shift[1]), side)[..., None]
    pixels = 255 + cover * (np.array(COLOURS[colour], np.float32) - 255)
    return np.rint(pixels).astype(np.uint8)


def parse(caption: str) -> Attributes:
    """The attributes in a caption of this source."""
    if caption not in _BY_CAPTION:
        raise ValueError(
            "A shapes caption reads like 'a large red circle at the top left' or 'a small blue "
            f"cross in the center'; got {caption!r}."
        )
    return _BY_CAPTION[caption]


def describe(image: UInt8[np.ndarray, "side side 3"]) -> Description:
    """The attributes whose image is nearest to `image` by squared error, at any position.

    With `m` the cover of a shape, `d` its colour minus white and `e` the image minus white, the
    error is `|e - m d|^2 = |e|^2 - 2 sum(m e d) + |m|^2 |d|^2`; the sum at all places is a
    correlation. `agreement` is `1 - error / |e|^2`: 0 for a white image, low for one without such a
    shape.
    """
    if image.ndim != 3 or image.shape[0] != image.shape[1]:
        raise ValueError(f"describe takes a square image; got the shape {image.shape}.")
    side = image.shape[0]
    spectra, weights = _templates(side)
    shades = np.array(list(COLOURS.values()), np.float32) / 255 - 1
    departure = image.astype(np.float32) / 255 - 1
    spectrum = np.fft.rfft2(np.moveaxis(departure @ shades.T, -1, 0))
    overlap = np.fft.irfft2(spectra.conj()[:, None] * spectrum[None], s=(side, side))
    gain = 2 * overlap - np.outer(weights, (shades**2).sum(1))[:, :, None, None]
    template, colour, *shift = np.unravel_index(np.argmax(gain), gain.shape)
    size, shape = list(itertools.product(SIZES, SHAPES))[template]
    y, x = ((0.5 + int(pixels) / side) % 1 for pixels in shift)
    position = min(POSITIONS, key=lambda name: math.dist((y, x), POSITIONS[name]))
    total, best = float((departure**2).sum()), float(gain[template, colour, shift[0], shift[1]])
    agreement = max(0.0, best / total) if total > 0 else 0.0
    return Description(Attributes(size, list(COLOURS)[colour], shape, position), agreement)


@functools.lru_cache(maxsize=4)
def _templates(
    side: int,
) -> tuple[Complex[np.ndarray, "templates side half"], Float[np.ndarray, "templates"]]:
    """For each size and shape, in the centre: the spectrum of its cover, and `|m|^2`."""
    every = itertools.product(SIZES.values(), SHAPES)
    covers = np.stack([_cover(shape, size, (0.5, 0.5), side) for size, shape in every])
    return np.fft.rfft2(covers), (covers**2).sum((1, 2))


def _cover(
    shape: str, radius: float, at: tuple[float, float], side: int
) -> Float32[np.ndarray, "side side"]:
    """The share of each pixel that the shape covers."""
    fine = side * _OVERSAMPLING
    line = (np.arange(fine, dtype=np.float32) + 0.5) / fine
    inside = _inside(shape, (line[:, None] - at[0]) / radius, (line[None, :] - at[1]) / radius)
    blocks = inside.reshape(side, _OVERSAMPLING, side, _OVERSAMPLING)
    return blocks.mean((1, 3), dtype=np.float32)


def _inside(
    shape: str, y: Float[np.ndarray, "height 1"], x: Float[np.ndarray, "1 width"]
) -> Bool[np.ndarray, "height width"]:
    match shape:
        case "circle":
            return x**2 + y**2 <= 1
        case "square":
            return (abs(x) <= 0.9) & (abs(y) <= 0.9)
        case "triangle":  # point upwards
            return (abs(x) <= (y + 1) / 2) & (y <= 1)
        case "cross":
            return ((abs(x) <= 0.33) & (abs(y) <= 1)) | ((abs(y) <= 0.33) & (abs(x) <= 1))
    raise ValueError(f"A shape is one of {', '.join(SHAPES)}; got {shape!r}.")
