"""Structural similarity."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import Image
from .pairs import check_images

SIGMA = 1.5
RADIUS = 5


def ssim(image: Image, reference: Image) -> Float[Array, ""]:
    """Structural similarity (Wang et al. 2004, equation 13) of images in [-1, 1], at most 1.

    `mean over positions and colours of (2 m_a m_b + c1)(2 v_ab + c2) / ((m_a^2 + m_b^2 + c1)
    (v_a + v_b + c2))`, with means, variances and covariance under an 11x11 Gaussian window of
    sigma 1.5, `c1 = (0.01 * 2)^2`, `c2 = (0.03 * 2)^2` where 2 is the range. Only positions whose
    window lies inside the image count.

    **Raises** `ValueError` for bytes, batches, values far outside of [-1, 1], or fewer than 11
    pixels a side.
    """
    check_images("ssim", image, reference, side=2 * RADIUS + 1)
    a, b = image.astype(jnp.float32), reference.astype(jnp.float32)
    mean_a, mean_b = _window(a), _window(b)
    var_a = _window(a * a) - mean_a**2
    var_b = _window(b * b) - mean_b**2
    cov = _window(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * cov + c2) / (var_a + var_b + c2)
    return jnp.mean(luminance * structure)


def _window(x: Float[Array, "height width rgb"]) -> Float[Array, "inner_h inner_w rgb"]:
    """The Gaussian mean around each position, one axis after the other."""
    offsets = np.arange(-RADIUS, RADIUS + 1)
    weights = np.exp(-0.5 * (offsets / SIGMA) ** 2)
    weights = weights / weights.sum()
    for axis in (0, 1):
        size = x.shape[axis] - 2 * RADIUS
        parts = [
            float(w) * jnp.take(x, jnp.arange(i, i + size), axis=axis)
            for i, w in enumerate(weights)
        ]
        x = sum(parts[1:], parts[0])
    return x
