"""Random regions to paint, for training an inpainting model. Drawn on the device from a key."""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._types import Key

MakeMask: TypeAlias = Callable[[Key, int, int], Bool[Array, "height width"]]
"""`(key, height, width) -> mask`, true where the image is to be painted."""


def random_mask(key: Key, height: int, width: int) -> Bool[Array, "height width"]:
    """A box or a brush stroke, each in half of the cases."""
    choice_key, key = jax.random.split(key)
    box, brush = box_mask(key, height, width), brush_mask(key, height, width)
    return jnp.where(jax.random.bernoulli(choice_key), box, brush)


def box_mask(
    key: Key, height: int, width: int, sides: tuple[float, float] = (0.25, 0.75)
) -> Bool[Array, "height width"]:
    """A box anywhere in the image.

    **Arguments:**

    - `key`, `height`, `width`: see `MakeMask`.
    - `sides`: range of the box's sides, as shares of the image's.
    """
    side_key, place_key = jax.random.split(key)
    side = jax.random.uniform(side_key, (2,), minval=sides[0], maxval=sides[1])
    start = jax.random.uniform(place_key, (2,)) * (1 - side)
    positions = _positions(height, width)
    return jnp.all((positions >= start) & (positions < start + side), axis=-1)


def brush_mask(
    key: Key,
    height: int,
    width: int,
    radius: tuple[float, float] = (0.05, 0.15),
    points: int = 4,
) -> Bool[Array, "height width"]:
    """A brush stroke along straight lines from one random point to the next.

    **Arguments:**

    - `key`, `height`, `width`: see `MakeMask`.
    - `radius`: range of the brush's radius, as shares of the image's sides.
    - `points`: ends of the lines, at least 2.
    """
    radius_key, point_key = jax.random.split(key)
    reach = jax.random.uniform(radius_key, (), minval=radius[0], maxval=radius[1])
    ends = jax.random.uniform(point_key, (points, 2))
    first, along = ends[:-1], ends[1:] - ends[:-1]
    offset = _positions(height, width)[..., None, :] - first  # height, width, line, 2
    length = jnp.maximum(jnp.sum(along**2, axis=-1), 1e-12)
    share = jnp.clip(jnp.sum(offset * along, axis=-1) / length, 0, 1)
    distance = jnp.linalg.norm(offset - share[..., None] * along, axis=-1)
    return jnp.any(distance < reach, axis=-1)


def _positions(height: int, width: int) -> Float[Array, "height width 2"]:
    """The centres of pixels, in shares of the image's sides."""
    rows, columns = ((jnp.arange(side) + 0.5) / side for side in (height, width))
    return jnp.stack(jnp.meshgrid(rows, columns, indexing="ij"), axis=-1)
