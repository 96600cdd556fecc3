"""Where a token stands in the image: vectors that are added, and angles that turn heads."""

import dataclasses
from typing import Protocol

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Positions(Protocol):
    """Vectors for the tokens of an image of so many rows and columns of patches, row by row."""

    def __call__(self, rows: int, columns: int) -> Float[np.ndarray, "tokens width"]: ...


@dataclasses.dataclass(frozen=True)
class SincosPositions:
    """Fixed sines and cosines of a token's column and row (Dosovitskiy et al. 2021; DiT's code):

        [sin(x f), cos(x f), sin(y f), cos(y f)],    f_i = 10000^(-4i / width)

    With a column `x` in the first half of the features, as in DiT, PixArt and Stable Diffusion 3.

    **Raises** `ValueError` for a width that 4 does not divide, and, when it is called, for an image
    larger than `largest`.
    """

    width: int
    """Width of a token."""
    base: int | None = None
    """Sides of any length count from 0 to `base`; by default in whole patches."""
    spacing: float = 1.0
    """Coordinates are divided by this (PixArt's `interpolation_scale`)."""
    largest: int | None = None
    """Sides of a grid from whose middle the positions are cut (Stable Diffusion 3), if any. It is
    that grid which `base` stretches."""

    def __post_init__(self) -> None:
        if self.width % 4:
            raise ValueError(
                "Sines and cosines of a column and a row need a width that is a multiple of 4, "
                f"received {self.width}. Choose a multiple of the head's width."
            )

    def __call__(self, rows: int, columns: int) -> Float[np.ndarray, "tokens width"]:
        """See `Positions`; float32."""
        y, x = np.meshgrid(self._along(rows), self._along(columns), indexing="ij")
        frequencies = 10000.0 ** (-np.arange(self.width // 4) / (self.width // 4))
        angles = [side.reshape(-1, 1) * frequencies for side in (x, y)]
        halves = [half for side in angles for half in (np.sin(side), np.cos(side))]
        return np.concatenate(halves, axis=1).astype(np.float32)

    def _along(self, side: int) -> Float[np.ndarray, "side"]:
        if self.largest is not None and side > self.largest:
            raise ValueError(
                f"This network knows positions of at most {self.largest} patches a side, received "
                f"{side}. Use smaller images."
            )
        count = side if self.largest is None else self.largest
        start = (count - side) // 2
        scale = 1.0 if self.base is None else self.base / count
        return np.arange(start, start + side) * scale / self.spacing


@dataclasses.dataclass(frozen=True)
class RotaryPositions:
    """Angles by which the pairs of a head are turned (Su et al. 2021), half of them by the row.

    `angle_i = y f_i` for the first half of the pairs and `x f_i` for the second, with
    `f_i = max_period^(-4i / width)`. The score of two tokens then depends on how far apart they
    are in either direction.

    **Raises** `ValueError` for a width that 4 does not divide.
    """

    width: int
    """Width of a head."""
    max_period: float = 10000.0
    """About 2 pi times the longest distance that the slowest pair can tell."""

    def __post_init__(self) -> None:
        if self.width % 4:
            raise ValueError(
                "Rotary positions turn pairs by rows and by columns, so that the width of a head "
                f"is a multiple of 4, received {self.width}. Choose other heads."
            )

    def __call__(self, rows: int, columns: int) -> Float[np.ndarray, "tokens pairs"]:
        """See `Positions`; `width / 2` angles for each token, float32."""
        y, x = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
        frequencies = self.max_period ** (-np.arange(self.width // 4) / (self.width // 4))
        angles = [side.reshape(-1, 1) * frequencies for side in (y, x)]
        return np.concatenate(angles, axis=1).astype(np.float32)


def rotated(
    x: Float[Array, "tokens heads width"], angles: Float[Array | np.ndarray, "tokens pairs"]
) -> Float[Array, "tokens heads width"]:
    """Turns the pairs `(x_2i, x_2i+1)` of every head by the token's angles, in float32."""
    pairs = x.astype(jnp.promote_types(x.dtype, jnp.float32)).reshape(*x.shape[:2], -1, 2)
    cos, sin = (f(jnp.asarray(angles))[:, None] for f in (jnp.cos, jnp.sin))
    first, second = pairs[..., 0], pairs[..., 1]
    turned = jnp.stack([first * cos - second * sin, first * sin + second * cos], axis=-1)
    return turned.reshape(x.shape).astype(x.dtype)
