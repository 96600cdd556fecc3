"""Resizing against Pillow and against the first FID code's formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from equildm.features import (
    AlexNet,
    antialiased_bicubic,
    pool_features,
    Resized,
    tf1_bilinear,
)

SIZES = [(40, 61), (299, 310), (7, 1)]


def random_image(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def to_bytes(x):
    return (np.asarray(x, np.float64) + 1) * 127.5


@pytest.mark.parametrize("side", [32, 299])
@pytest.mark.parametrize("size", SIZES)
def test_antialiased_is_pillows_on_floats(size, side):
    """clean-fid resizes each colour as floating numbers and clips them."""
    image = random_image(*size)
    channels = [Image.fromarray(image[..., i].astype(np.float32)) for i in range(3)]
    theirs = [np.asarray(c.resize((side, side), Image.Resampling.BICUBIC)) for c in channels]
    theirs = np.stack(theirs, -1).clip(0, 255)
    ours = to_bytes(jax.jit(antialiased_bicubic(side))(image / np.float32(127.5) - 1))
    assert np.abs(ours - theirs).max() < 1e-3


@pytest.mark.parametrize("size", SIZES)
def test_tensorflows_reads_between_two_pixels_from_the_left(size):
    image = random_image(*size).astype(np.float64)
    out = image
    for axis in (0, 1):
        old = image.shape[axis]
        at = np.arange(32) * (old / 32)
        low = np.floor(at).astype(int)
        share = (at - low).reshape(-1, *(1,) * (2 - axis))
        a, b = (np.take(out, np.minimum(low + i, old - 1), axis) for i in (0, 1))
        out = a + (b - a) * share
    ours = to_bytes(jax.jit(tf1_bilinear(32))((image / 127.5 - 1).astype(np.float32)))
    assert np.abs(ours - out).max() < 1e-2  # float32 positions, as TensorFlow's are


def test_keeps_the_dtype_and_an_image_of_that_size():
    image = random_image(32, 32) / np.float32(127.5) - 1
    np.testing.assert_array_equal(jax.jit(tf1_bilinear(32))(image), image)
    half = jax.jit(antialiased_bicubic(16))(image.astype(jnp.bfloat16))
    assert half.dtype == jnp.bfloat16


def test_a_resized_extractor():
    network = AlexNet(key=jax.random.key(0))
    resized = Resized(network, antialiased_bicubic(48))
    image = random_image(20, 24)
    assert network.description == "AlexNet"
    assert resized.description == "AlexNet, antialiased-bicubic 48"
    float_image = image / np.float32(127.5) - 1
    by_hand = jax.jit(antialiased_bicubic(48))(float_image)
    np.testing.assert_allclose(
        pool_features(resized, [image], batch=1),
        pool_features(network, [np.asarray(by_hand)], batch=1),
        rtol=1e-5,
        atol=1e-6,
    )
