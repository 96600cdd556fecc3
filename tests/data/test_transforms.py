"""Cropping and resizing against what it should come to."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from equildm.data import Crop, to_pixels, to_unit


def _photo(height, width):
    """A smooth picture, so that a resize has a nearly exact answer."""
    y, x = np.mgrid[:height, :width].astype(np.float64) + 0.5
    waves = [np.sin(2 * np.pi * (x / width)), np.cos(2 * np.pi * y / height), x / width]
    return to_pixels(np.stack(waves, -1) * 0.9)


def test_centre_crop_keeps_the_aspect():
    image = _photo(120, 300)
    square = Crop(40)(image)
    # The middle 120 columns of 300, each output pixel covering 3 input pixels.
    y, x = np.mgrid[:40, :40].astype(np.float64) + 0.5
    x = (90 + 3 * x) / 300
    expected = np.stack([np.sin(2 * np.pi * x), np.cos(2 * np.pi * y / 40), x], -1) * 0.9
    np.testing.assert_allclose(to_unit(square), expected, atol=0.03)


@pytest.mark.parametrize(("height", "width"), [(100, 64), (64, 150), (200, 128)])
def test_equals_resize_then_crop(height, width):
    image = _photo(height, width)
    ours = Crop(64)(image).astype(int)
    scale = 64 / min(height, width)
    size = (round(width * scale), round(height * scale))
    whole = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)).astype(int)
    top, left = (whole.shape[0] - 64) // 2, (whole.shape[1] - 64) // 2
    # The borders see neighbours that the cut leaves out, hence not the outermost pixels.
    inner = (slice(3, -3), slice(3, -3))
    assert abs(ours - whole[top : top + 64, left : left + 64])[inner].max() <= 2


def test_antialiased():
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, ::2] = 255
    assert abs(Crop(32)(stripes).astype(int) - 127)[:, 2:-2].max() <= 2  # not 0 or 255


def test_random_crop_and_flip_follow_the_generator():
    image = _photo(64, 256)
    crop = Crop(32, random=True, flip=True)
    first = [crop(image, np.random.default_rng(seed)) for seed in range(30)]
    again = [crop(image, np.random.default_rng(seed)) for seed in range(30)]
    np.testing.assert_array_equal(first, again)
    assert len({picture.tobytes() for picture in first}) == 30
    # The third channel rises to the right, and falls where the picture was mirrored.
    falls = [picture[0, -1, 2] < picture[0, 0, 2] for picture in first]
    assert 5 < sum(falls) < 25
    places = [picture[..., 2].mean() for picture in first]
    assert max(places) - min(places) > 70  # of 86: over the whole of the longer side


def test_no_resize_is_exact():
    image = _photo(32, 48)
    np.testing.assert_array_equal(Crop(32)(image), image[:, 8:40])
    np.testing.assert_array_equal(Crop(32)(image[:, :32]), image[:, :32])
    flipped = Crop(32, flip=True)
    pictures = [flipped(image, np.random.default_rng(seed)) for seed in range(20)]
    expected = {image[:, 8:40].tobytes(), image[:, 8:40][:, ::-1].tobytes()}
    assert {picture.tobytes() for picture in pictures} == expected


def test_units():
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_allclose(to_unit(every), np.linspace(-1, 1, 256), atol=1e-6)
    assert to_unit(every).dtype == np.float32
    np.testing.assert_array_equal(to_pixels(to_unit(every)), every)
    on_device = to_unit(jnp.asarray(every))
    assert on_device.dtype == jnp.float32
    np.testing.assert_allclose(np.asarray(on_device), to_unit(every), atol=1e-6)
    np.testing.assert_array_equal(to_pixels(np.array([-7.0, 0, 7.0])), [0, 128, 255])


def test_bad_input():
    with pytest.raises(ValueError, match="at least 1 pixel; got 0"):
        Crop(0)
    with pytest.raises(ValueError, match="numpy Generator; got None"):
        Crop(8, random=True)(_photo(9, 9))
    with pytest.raises(ValueError, match="float32 with shape"):
        Crop.__call__.__wrapped__(Crop(8), np.zeros((9, 9, 3), np.float32))
