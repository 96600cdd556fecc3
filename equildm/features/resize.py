"""Resizing as in published metrics: a product with one small matrix along each side.

A distance between image sets depends on the resizing more than on most differences that one
measures with it (Parmar et al. 2022). So every result names its resizing.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import Image

Weights = Callable[[int, int], Float[np.ndarray, "new old"]]


@dataclasses.dataclass(frozen=True)
class Resize:
    """Resizes an image of any shape to `side x side` pixels.

    **Fields:**

    - `method`: its name, which is part of a result's name.
    - `side`: height and width afterwards.
    - `weights`: `(old, new)` side to the matrix from old to new pixels.
    """

    method: str
    side: int
    weights: Weights

    def __call__(self, image: Image) -> Float[Array, "side side rgb"]:
        """Resized in float32 and clipped to [-1, 1], which a cubic filter overshoots."""
        x = image.astype(jnp.float32)
        for axis in (1, 0):
            x = resampled(x, axis, self.side, self.weights)
        return jnp.clip(x, -1.0, 1.0).astype(image.dtype)

    def __str__(self) -> str:
        return f"{self.method} {self.side}"


def resampled(
    x: Float[Array, "height width rgb"], axis: int, side: int, weights: Weights
) -> Float[Array, "new_height new_width rgb"]:
    """The image with one side (`axis` 0 or 1) resized to a length."""
    if x.shape[axis] == side:
        return x
    matrix = jnp.asarray(weights(x.shape[axis], side), x.dtype)
    y = jnp.tensordot(matrix, x, axes=(1, axis), precision=jax.lax.Precision.HIGHEST)
    return jnp.moveaxis(y, 0, axis)


def tf1_bilinear(side: int = 299) -> Resize:
    """As in the first code of FID and IS: TensorFlow 1's `resize_bilinear`.

    Pixel `i` is read at `i * old / new`: not centred, and without a filter where the image
    shrinks, so that it aliases.
    """
    return Resize("tf1-bilinear", side, _tf1_bilinear)


def antialiased_bicubic(side: int = 299) -> Resize:
    """As in clean-fid (Parmar et al. 2022): Pillow's bicubic filter on floating-point colours."""
    return Resize("antialiased-bicubic", side, antialiased_cubic)


@functools.lru_cache(maxsize=64)
def _tf1_bilinear(old: int, new: int) -> Float[np.ndarray, "new old"]:
    # In float32, as TensorFlow computes where a pixel is read.
    at = np.arange(new, dtype=np.float32) * np.float32(old / new)
    low = at.astype(int)
    high = np.minimum(low + 1, old - 1)
    rows, share = np.arange(new), (at - low).astype(np.float64)
    matrix = np.zeros((new, old))
    np.add.at(matrix, (rows, low), 1 - share)
    np.add.at(matrix, (rows, high), share)
    return matrix


@functools.lru_cache(maxsize=64)
def antialiased_cubic(old: int, new: int) -> Float[np.ndarray, "new old"]:
    """Keys' cubic kernel with a = -1/2, as wide as the new pixels where the image shrinks.

    Its weights sum to 1, also at the borders.
    """
    centres = (np.arange(new) + 0.5) * old / new
    distance = (np.arange(old) + 0.5 - centres[:, None]) / max(old / new, 1.0)
    x = np.abs(distance)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    matrix = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    return matrix / matrix.sum(axis=1, keepdims=True)
