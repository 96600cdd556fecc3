"""The colours of the small picture for the large one."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..latents import enlarged


def recoloured(
    large: Float[Array, "large_height large_width rgb"],
    small: Float[Array, "height width rgb"],
    width: float,
) -> Float[Array, "large_height large_width rgb"]:
    """The large picture with the low frequencies of the small one.

        large + enlarged(blur(small - mean of each of its pixels in large))

    An autoencoder trained on other pictures, or a model not trained for long, gets shapes right
    before colours; those are known. After StableSR's colour correction (Wang et al. 2023, section
    3.4), whose blur is a wavelet's and which compares at the large size.

    **Arguments:**

    - `large`: larger by a whole factor.
    - `small`: as it was given.
    - `width`: standard deviation of the Gaussian blur, in pixels of the small picture: what is
        coarser comes from there. A noisy picture needs a wide one.
    """
    (height, across), scale = small.shape[:2], large.shape[0] // small.shape[0]
    cells = large.reshape(height, scale, across, scale, large.shape[2])
    blurred = small - jnp.mean(cells, axis=(1, 3))
    for axis in (0, 1):
        blurred = _blurred(blurred, axis, width)
    return large + enlarged(blurred, (large.shape[0], large.shape[1]))


def _blurred(
    x: Float[Array, "height width rgb"], axis: int, width: float
) -> Float[Array, "height width rgb"]:
    """By a Gaussian along one axis; the edge goes on for ever."""
    reach = int(4 * width + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    margins = [(reach, reach) if i == axis else (0, 0) for i in range(x.ndim)]
    padded = jnp.pad(x, margins, mode="edge")
    places = np.arange(x.shape[axis])[:, None] + np.arange(2 * reach + 1)
    windows = jnp.take(padded, places, axis=axis)  # the axis becomes (place, offset)
    return jnp.tensordot(windows, jnp.asarray(kernel / kernel.sum(), x.dtype), ((axis + 1,), (0,)))
