"""The colours of a small image for its enlargement."""

import jax
import numpy as np
from helpers import called
from scipy.ndimage import gaussian_filter

from equildm.images import to_uint8
from equildm.pipeline import color_baseline, color_fix


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_colours_of_the_small_image_come_back():
    large, small = drawn(24, 32, 3), drawn(6, 8, 3, seed=1)
    ours = called(color_fix, large, small, 1.5)
    means = large.reshape(6, 4, 8, 4, 3).mean((1, 3))
    blurred = gaussian_filter(small - means, (1.5, 1.5, 0), mode="nearest")
    difference = jax.image.resize(blurred, (24, 32, 3), "cubic")
    np.testing.assert_allclose(ours, large + np.asarray(difference), atol=1e-5)
    cast = np.float32([0.3, -0.2, 0.1])
    np.testing.assert_allclose(called(color_fix, large + cast, small, 1.5), ours, atol=1e-5)


def test_the_baseline_is_the_colours_on_grey():
    low = np.random.default_rng(0).integers(0, 256, (2, 6, 6, 3), np.uint8)
    ours = color_baseline(low, 24, 1.5)
    assert ours.shape == (2, 24, 24, 3) and ours.dtype == np.uint8
    small, grey = low[1].astype(np.float32) / 127.5 - 1, np.zeros((24, 24, 3), np.float32)
    expected = to_uint8(np.asarray(called(color_fix, grey, small, 1.5)))
    assert np.abs(ours[1].astype(int) - expected).max() <= 1
