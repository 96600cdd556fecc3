"""The squares on which super-resolution is scored."""

import numpy as np
import pytest
from PIL import Image

from equildm.data import AbstractSource, held_squares, open_source, ShapesSource, Subset
from equildm.data.degrade import bicubic


@pytest.mark.parametrize(
    ("source", "size"),
    [(Subset(ShapesSource(side=32, count=3), []), 32), (ShapesSource(side=32, count=3), 64)],
)
def test_without_an_image_to_score_more_must_be_held_out(source: AbstractSource, size: int):
    with pytest.raises(
        ValueError, match=f"at least {size}x{size} .* {len(source)} held-out im.*larger share"
    ):
        held_squares(source, size, bicubic(4), 8)


def test_squares_are_the_same_each_time_and_of_every_image_that_can_be_read(tmp_path):
    shapes = ShapesSource(side=48, count=3)
    for i in range(3):
        Image.fromarray(shapes.image(i)).save(tmp_path / f"{2 * i}.png")
    (tmp_path / "1.png").write_bytes(b"\x89PNG\r\n")
    source = open_source(str(tmp_path))
    one, other = (held_squares(source, 32, bicubic(4), 9) for _ in range(2))
    assert one.images.shape == (9, 32, 32, 3) and one.low.shape == (9, 8, 8, 3)
    assert set(one.groups) == {0, 2, 3}
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)
