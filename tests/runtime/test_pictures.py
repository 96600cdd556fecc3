import numpy as np
import pytest
from PIL import Image

from equildm.runtime import picture_grid, save_png, to_uint8


def test_scale_is_clipped_and_rounded():
    values = np.array([-3.0, -1.0, -0.999, 0.0, 1.0, 2.0])
    assert to_uint8(values).tolist() == [0, 0, 0, 128, 255, 255]


def test_grid_holds_every_picture_in_order():
    images = np.stack([np.full((4, 6, 3), 10 * i, np.uint8) for i in range(5)])
    grid = picture_grid(images, columns=2, scale=3)
    assert grid.shape == (3 * (12 + 6) + 6, 2 * (18 + 6) + 6, 3)
    for i in range(5):
        top, left = 6 + (i // 2) * 18, 6 + (i % 2) * 24
        assert (grid[top : top + 12, left : left + 18] == 10 * i).all()
        assert (grid[top - 6 : top, left : left + 18] == 255).all()


def test_captions_fit_below(tmp_path):
    images = np.zeros((2, 8, 8, 3), np.uint8)
    plain = picture_grid(images, columns=2)
    captioned = picture_grid(images, ["a cat", "word " * 50], columns=2)
    assert captioned.shape[0] > plain.shape[0] and captioned.shape[1] == plain.shape[1]
    below = captioned[6 + 128 : -6]
    assert (below < 128).any()  # there is text,
    assert (below[:, 6 + 128 + 1 : 6 + 128 + 5] == 255).all()  # which stays under its picture
    with pytest.raises(ValueError, match="1 captions and 2 pictures"):
        picture_grid(images, ["a cat"])
    save_png(tmp_path / "new" / "grid.png", captioned)
    assert (np.asarray(Image.open(tmp_path / "new" / "grid.png")) == captioned).all()
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["grid.png"]
