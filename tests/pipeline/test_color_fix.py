"""The colours of a small image for its enlargement."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import gaussian_filter

from equildm.images import to_uint8
from equildm.pipeline import color_baseline, color_fix


def drawn(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def test_colours_of_the_small_image_come_back():
    large, small = drawn(24, 32, 3), drawn(6, 8, 3, seed=1)
    ours = color_fix(large, small, 1.5)
    means = np.asarray(large).reshape(6, 4, 8, 4, 3).mean((1, 3))
    blurred = gaussian_filter(np.asarray(small) - means, (1.5, 1.5, 0), mode="nearest")
    difference = jax.image.resize(jnp.asarray(blurred), (24, 32, 3), "cubic")
    np.testing.assert_allclose(ours, large + difference, atol=1e-5)
    cast = jnp.array([0.3, -0.2, 0.1])
    np.testing.assert_allclose(color_fix(large + cast, small, 1.5), ours, atol=1e-5)


def test_the_baseline_is_the_colours_on_grey():
    low = np.random.default_rng(0).integers(0, 256, (2, 6, 6, 3), np.uint8)
    ours = color_baseline(low, 24, 1.5)
    assert ours.shape == (2, 24, 24, 3) and ours.dtype == np.uint8
    small = jnp.asarray(low[1], jnp.float32) / 127.5 - 1
    expected = to_uint8(np.asarray(color_fix(jnp.zeros((24, 24, 3)), small, 1.5)))
    assert np.abs(ours[1].astype(int) - expected).max() <= 1
