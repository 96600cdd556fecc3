"""Cropping and resizing against what it should come to."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from equildm.data import Crop, Cut
from equildm.images import to_uint8, to_unit


def _photo(height, width):
    """A smooth image, so that a resize has a nearly exact answer."""
    y, x = np.mgrid[:height, :width].astype(np.float64) + 0.5
    waves = [np.sin(2 * np.pi * (x / width)), np.cos(2 * np.pi * y / height), x / width]
    return to_uint8(np.stack(waves, -1) * 0.9)


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
    resized = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)).astype(int)
    top, left = (resized.shape[0] - 64) // 2, (resized.shape[1] - 64) // 2
    # The borders see neighbours that the cut leaves out, hence not the outermost pixels.
    inner = (slice(3, -3), slice(3, -3))
    assert abs(ours - resized[top : top + 64, left : left + 64])[inner].max() <= 2


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
    assert len({square.tobytes() for square in first}) == 30
    # The third channel rises to the right, and falls where the square was mirrored.
    falls = [square[0, -1, 2] < square[0, 0, 2] for square in first]
    assert 5 < sum(falls) < 25
    places = [square[..., 2].mean() for square in first]
    assert max(places) - min(places) > 70  # of 86: over all of the longer side


def test_no_resize_is_exact():
    image = _photo(32, 48)
    np.testing.assert_array_equal(Crop(32)(image), image[:, 8:40])
    np.testing.assert_array_equal(Crop(32)(image[:, :32]), image[:, :32])
    flipped = Crop(32, flip=True)
    squares = [flipped(image, np.random.default_rng(seed)) for seed in range(20)]
    expected = {image[:, 8:40].tobytes(), image[:, 8:40][:, ::-1].tobytes()}
    assert {square.tobytes() for square in squares} == expected


def test_units():
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_allclose(to_unit(every), np.linspace(-1, 1, 256), atol=1e-6)
    assert to_unit(every).dtype == np.float32
    np.testing.assert_array_equal(to_uint8(to_unit(every)), every)
    on_device = to_unit(jnp.asarray(every))
    assert on_device.dtype == jnp.float32
    np.testing.assert_allclose(np.asarray(on_device), to_unit(every), atol=1e-6)
    np.testing.assert_array_equal(to_uint8(np.array([-7.0, 0, 7.0])), [0, 128, 255])


def test_bad_input():
    with pytest.raises(ValueError, match="at least 1 pixel; got 0"):
        Crop(0)
    with pytest.raises(ValueError, match="numpy Generator; got None"):
        Crop(8, random=True)(_photo(9, 9))
    with pytest.raises(ValueError, match="float32 with shape"):
        Crop.__call__.__wrapped__(Crop(8), np.zeros((9, 9, 3), np.float32))


def test_a_cut_takes_pixels_as_they_are():
    image = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    np.testing.assert_array_equal(Cut(5)(image), image[2:7, 3:8])
    random = Cut(8, random=True)
    corners = {random(image, np.random.default_rng(i)).tobytes() for i in range(80)}
    assert len(corners) == 2 * 5
    with pytest.raises(ValueError, match="must fit"):
        Cut(10)(image)
    with pytest.raises(ValueError, match="Generator"):
        random(image)
