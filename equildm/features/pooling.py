"""Poolings of 3x3 windows."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Maps = Float[Array, "height width channels"]
Halved = Float[Array, "new_height new_width channels"]
_SAME = ((1, 1), (1, 1), (0, 0))


def max_pool(x: Maps) -> Halved:
    """The maximum, stride 2, no padding."""
    return _max(x, 2, "VALID")


def max_padded(x: Maps) -> Maps:
    """The maximum, stride 1, of the same size."""
    return _max(x, 1, _SAME)


def average_padded(x: Maps) -> Maps:
    """The mean, stride 1, of the same size. The zeros around the image count."""
    return _sum(x) / 9


def average_inside(x: Maps) -> Maps:
    """The mean, stride 1, of the same size. Only pixels of the image count, as in TensorFlow."""
    rows, columns = (3.0 - (np.arange(n) == 0) - (np.arange(n) == n - 1) for n in x.shape[:2])
    return _sum(x) / jnp.asarray(np.outer(rows, columns)[..., None], x.dtype)


def _max(x: Maps, stride: int, padding) -> Halved:
    # A numpy constant: only with one does JAX recognise a maximum, which has a gradient.
    lowest = np.array(-np.inf, x.dtype)
    return jax.lax.reduce_window(x, lowest, jax.lax.max, (3, 3, 1), (stride, stride, 1), padding)


def _sum(x: Maps) -> Maps:
    zero = np.array(0, x.dtype)
    return jax.lax.reduce_window(x, zero, jax.lax.add, (3, 3, 1), (1, 1, 1), _SAME)
