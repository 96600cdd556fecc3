"""How a small picture gets into a latent of the large one's size."""

import jax
from jaxtyping import Array, Float

from .._types import Image


def enlarged(image: Image, size: tuple[int, int]) -> Float[Array, "new_height new_width rgb"]:
    """The picture at `(height, width)`, at least its own, by Keys' cubic interpolation.

    A whole factor in both directions, the same: else `ValueError`.
    """
    (height, width), (new_height, new_width) = image.shape[:2], size
    factor = new_height // height
    if factor < 1 or (new_height, new_width) != (factor * height, factor * width):
        raise ValueError(
            f"A picture is enlarged by a whole factor, received {height}x{width} for "
            f"{new_height}x{new_width}. Crop it, or choose a scale that divides."
        )
    return jax.image.resize(image, (*size, image.shape[2]), "cubic")
