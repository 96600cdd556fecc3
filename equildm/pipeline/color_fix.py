"""The colours of a small image for its enlargement."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from ..images import to_uint8, to_unit
from ..latents import upsample


def color_fix(
    large: Float[Array, "large_height large_width rgb"],
    small: Float[Array, "height width rgb"],
    width: float,
) -> Float[Array, "large_height large_width rgb"]:
    """The large image with the low frequencies of the small one.

        large + upsample(blur(small - mean of each of its pixels in large))

    An autoencoder trained on other images, or a model not trained for long, learns shapes before
    colours, and the colours are known. After StableSR's colour correction (Wang et al. 2023,
    section 3.4), which blurs with a wavelet and compares at the large size.

    **Arguments:**

    - `large`: the enlargement, by a whole factor.
    - `small`: the image that was enlarged.
    - `width`: standard deviation of the Gaussian blur, in pixels of the small image: coarser
        structure is taken from there. A noisy image needs a wide blur.
    """
    (height, across), scale = small.shape[:2], large.shape[0] // small.shape[0]
    cells = large.reshape(height, scale, across, scale, large.shape[2])
    blurred = small - jnp.mean(cells, axis=(1, 3))
    for axis in (0, 1):
        blurred = _blurred(blurred, axis, width)
    return large + upsample(blurred, (large.shape[0], large.shape[1]))


def color_baseline(
    low: UInt8[np.ndarray, "count height width 3"], size: int, width: float
) -> UInt8[np.ndarray, "count size size 3"]:
    """Grey images of `size` pixels a side with the colours of small ones: `color_fix` alone.

    What a model with `color_fix` scores above this is its own.
    """
    colors = _fix_grey(jnp.asarray(to_unit(low)), size, width)
    return to_uint8(np.asarray(colors))


@eqx.filter_jit
def _fix_grey(
    low: Float[Array, "count height width 3"], size: int, width: float
) -> Float[Array, "count size size 3"]:
    grey = jnp.zeros((size, size, 3))
    return jax.vmap(lambda small: color_fix(grey, small, width))(low)


def _blurred(
    x: Float[Array, "height width rgb"], axis: int, width: float
) -> Float[Array, "height width rgb"]:
    """By a Gaussian along one axis; beyond the edge, its own pixels are repeated."""
    reach = int(4 * width + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    margins = [(reach, reach) if i == axis else (0, 0) for i in range(x.ndim)]
    padded = jnp.pad(x, margins, mode="edge")
    places = np.arange(x.shape[axis])[:, None] + np.arange(2 * reach + 1)
    windows = jnp.take(padded, places, axis=axis)  # the axis becomes (place, offset)
    return jnp.tensordot(windows, jnp.asarray(kernel / kernel.sum(), x.dtype), ((axis + 1,), (0,)))
