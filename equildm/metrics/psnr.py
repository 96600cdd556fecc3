"""Peak signal-to-noise ratio."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Image
from .pairs import check_images


def psnr(image: Image, reference: Image) -> Float[Array, ""]:
    """`10 log10(2^2 / mean((image - reference)^2))` in decibels, for images in [-1, 1].

    2 is the range of the values. It is infinite for equal images.

    **Raises** `ValueError` for bytes, batches, or values far outside of [-1, 1].
    """
    check_images("psnr", image, reference)
    difference = image.astype(jnp.float32) - reference.astype(jnp.float32)
    return 10.0 * jnp.log10(4.0 / jnp.mean(difference * difference))
