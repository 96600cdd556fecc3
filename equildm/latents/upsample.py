"""Upsampling of a small image to the size of the large one."""

import jax
from jaxtyping import Array, Float

from .._types import Image


def upsample(image: Image, size: tuple[int, int]) -> Float[Array, "new_height new_width rgb"]:
    """The image at the size `(height, width)`, by Keys' cubic interpolation.

    **Raises** `ValueError` unless the size is the image's times one integer of at least 1.
    """
    (height, width), (new_height, new_width) = image.shape[:2], size
    factor = new_height // height
    if factor < 1 or (new_height, new_width) != (factor * height, factor * width):
        raise ValueError(
            f"An image is enlarged by an integer factor, received {height}x{width} for "
            f"{new_height}x{new_width}. Crop it, or choose a scale that divides."
        )
    return jax.image.resize(image, (*size, image.shape[2]), "cubic")
