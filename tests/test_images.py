"""Images as bytes and floats, in grids and as files."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from equildm.images import (
    check_mask,
    check_pixels,
    image_grid,
    rounded,
    save_png,
    save_pngs,
    to_uint8,
    to_unit,
    unused_path,
)


def test_scale_is_clipped_and_rounded():
    values = np.array([-3.0, -1.0, -0.999, 0.0, 1.0, 2.0])
    assert to_uint8(values).tolist() == [0, 0, 0, 128, 255, 255]


def test_bytes_and_floats_are_inverse():
    pixels = np.arange(256, dtype=np.uint8)
    for images in (pixels, jnp.asarray(pixels)):
        unit = to_unit(images)
        assert unit.dtype == np.float32 and isinstance(unit, type(images))
        assert (unit[0], unit[255]) == (-1, 1)
        np.testing.assert_array_equal(to_uint8(unit), pixels)
    np.testing.assert_array_equal(to_unit(np.array([0.3, -2.0])), np.float32([0.3, -2.0]))


def test_pixels_of_eight_bits_are_not_converted_again():
    with pytest.raises(ValueError, match=r"takes floats in .* received uint8"):
        to_uint8(np.zeros((2, 2, 3), np.uint8))


def test_pixels_of_another_range_are_refused():
    for pixels in (np.full(3, 255, np.uint8), np.float32([-1.2, 1.0]), np.zeros(0, np.float32)):
        check_pixels(pixels)
    for wrong, what in (
        (np.float32([0.0, 255.0]), "values up to 255"),
        (np.float32([0.0, np.nan]), "values up to nan"),
        (np.array([True]), "received bool"),
        (np.array([7]), "received int64"),
    ):
        with pytest.raises(ValueError, match=what):
            check_pixels(wrong)


def test_no_image_is_overwritten(tmp_path):
    path = tmp_path / "x.png"
    for name in ("x.png", "x_1.png", "x_2.png"):
        assert unused_path(path).name == name
        unused_path(path).touch()


def test_a_mask_is_true_where_the_image_is_new():
    check_mask(np.ones(3, bool))
    check_mask(np.ones(3, np.float32), shares=True)
    for wrong in (np.full(3, 255, np.uint8), np.ones(3, np.float32)):
        with pytest.raises(ValueError, match="mask > 127"):
            check_mask(wrong)
    with pytest.raises(ValueError, match="received uint8"):
        check_mask(np.ones(3, np.uint8), shares=True)


def test_rounded_is_what_eight_bits_keep():
    values = np.linspace(-1.2, 1.2, 1001, dtype=np.float32)
    np.testing.assert_allclose(rounded(jnp.asarray(values)), to_unit(to_uint8(values)), atol=1e-6)


def test_grid_holds_every_image_in_order():
    images = np.stack([np.full((4, 6, 3), 10 * i, np.uint8) for i in range(5)])
    grid = image_grid(images, columns=2, scale=3)
    assert grid.shape == (3 * (12 + 6) + 6, 2 * (18 + 6) + 6, 3)
    for i in range(5):
        top, left = 6 + (i // 2) * 18, 6 + (i % 2) * 24
        assert (grid[top : top + 12, left : left + 18] == 10 * i).all()
        assert (grid[top - 6 : top, left : left + 18] == 255).all()


def test_captions_fit_below(tmp_path):
    images = np.zeros((2, 8, 8, 3), np.uint8)
    plain = image_grid(images, columns=2)
    captioned = image_grid(images, ["a cat", "word " * 50], columns=2)
    assert captioned.shape[0] > plain.shape[0] and captioned.shape[1] == plain.shape[1]
    below = captioned[6 + 128 : -6]
    assert (below < 128).any()  # there is text,
    assert (below[:, 6 + 128 + 1 : 6 + 128 + 5] == 255).all()  # which stays under its image
    with pytest.raises(ValueError, match="1 captions and 2 images"):
        image_grid(images, ["a cat"])
    save_png(tmp_path / "new" / "grid.png", captioned)
    assert (np.asarray(Image.open(tmp_path / "new" / "grid.png")) == captioned).all()
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["grid.png"]


@pytest.mark.parametrize(("count", "side"), [(1, 32), (16, 32), (1, 512)])
def test_rows_have_labels_that_stay_beside_their_images(count, side):
    images = np.zeros((2 * count, side, side, 3), np.uint8)
    labels = ["w=1", "w=2.5"] * count
    grid = image_grid(images, labels, columns=2, rows=["a very long prompt " * 40] * count)
    plain = image_grid(images, labels, columns=2)
    margin = grid.shape[1] - plain.shape[1]
    np.testing.assert_array_equal(grid[:, margin:], plain)
    assert (grid[:, :margin] < 128).any() and (grid[:, margin - 4 : margin] == 255).all()
    height = grid.shape[0] // count
    assert (grid[height - 34 : height, :margin] == 255).all()  # nor does it run into the next row
    with pytest.raises(ValueError, match="received 2 labels"):
        image_grid(images[:2], columns=2, rows=["a", "b"])


def test_an_image_tells_how_it_was_made(tmp_path):
    images = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    save_pngs(tmp_path / "new", images, [{"prompt": "a fox, Füchse 狐", "scale": 2.5}, {}])
    first, second = (Image.open(tmp_path / "new" / f"000{n}.png") for n in (0, 1))
    assert first.text == {"prompt": "a fox, Füchse 狐", "scale": "2.5"} and second.text == {}
    np.testing.assert_array_equal(np.stack([first, second]), images)
