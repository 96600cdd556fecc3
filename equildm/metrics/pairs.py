"""Checks of two sets of features, and of two images."""

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Image

LARGEST = 8.0
"""Largest absolute value of an image: a decoder overshoots [-1, 1] a little, bytes go further."""


def check_pair(a: np.ndarray, b: np.ndarray, *, least: int) -> None:
    """Raises `ValueError` unless both are finite features of one width, of `least` images each."""
    fits = a.ndim == b.ndim == 2 and a.shape[1] == b.shape[1] and min(len(a), len(b)) >= least
    if not fits or not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError(
            f"Two sets of finite features (images, features) of one width are compared, at least "
            f"{least} images each, received shapes {a.shape} and {b.shape}."
        )


def check_images(name: str, image: Image, reference: Image, *, side: int = 1) -> None:
    """Raises `ValueError` unless both are images `(height, width, channels)` of one size, at least
    `side` pixels a side, floating in about [-1, 1]. Traced values are not checked.
    """
    a, b = image.shape, reference.shape
    if a != b or len(a) != 3 or min(a[0], a[1]) < side or 0 in a:
        raise ValueError(
            f"{name} takes two images (height, width, channels) of one size, at least {side} "
            f"pixels a side, received {a} and {b}. Use jax.vmap for several."
        )
    for array in (image, reference):
        largest = 0.0  # of what is traced
        if not isinstance(array, jax.core.Tracer):
            with jax.ensure_compile_time_eval():  # of a concrete image inside a `jit`, too
                largest = float(jnp.max(jnp.abs(array)))
        if not jnp.issubdtype(array.dtype, jnp.floating):
            received = str(array.dtype)
        elif largest > LARGEST:
            received = f"values up to {largest:g}"
        else:
            continue
        raise ValueError(
            f"{name} takes floating images in [-1, 1], received {received}. Divide bytes by "
            "127.5 and subtract 1."
        )
