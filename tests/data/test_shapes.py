"""The generated shapes, and reading their attributes off images."""

import numpy as np
import pytest
from helpers import others_slow

from equildm.data.builtin import shapes
from equildm.data.builtin.shapes import (
    Attributes,
    COMBINATIONS,
    describe,
    draw,
    parse,
    ShapesSource,
)


@pytest.mark.parametrize("side", others_slow([32, 64], 32))
def test_every_combination_is_recovered(side):
    rng = np.random.default_rng(0)
    for attributes in COMBINATIONS[:: side * side // 1024]:
        image = draw(attributes, side, tuple(rng.uniform(-0.03, 0.03, 2)))
        noisy = np.clip(image + rng.normal(0, 25, image.shape), 0, 255).astype(np.uint8)
        seen = describe(image)
        assert seen.attributes == attributes and seen.agreement > 0.7
        assert describe(noisy).attributes == attributes


def test_what_is_no_shape_agrees_little():
    white = np.full((32, 32, 3), 255, np.uint8)
    assert describe(white).agreement == 0
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    assert describe(noise).agreement < 0.3
    pair = (("red", "top left"), ("blue", "bottom right"))
    one, other = (draw(Attributes("small", c, "circle", at), 32) for c, at in pair)
    assert describe(one).agreement > 0.95
    assert describe(np.minimum(one, other)).agreement < 0.7  # two shapes


def test_known_pixels():
    image = draw(Attributes("large", "red", "square", "top left"), 64)
    # centre 0.25 x 64 = 16, half side 0.9 x 0.21 x 64 = 12.1
    assert (image[5:27, 5:27] == shapes.COLOURS["red"]).all()
    assert (image[29:, :] == 255).all() and (image[:, 29:] == 255).all()


def test_source():
    source = ShapesSource(side=32, count=2 * 576, seed=3)
    captions = [source.caption(index) for index in range(576)]
    assert len(set(captions)) == len(COMBINATIONS) == 576
    assert [parse(caption) for caption in captions] == [source.attributes(i) for i in range(576)]
    assert source.caption(0) == source.caption(576)
    assert (source[0].image != source[576].image).any()  # moved a little
    np.testing.assert_array_equal(source[5].image, ShapesSource(side=32, seed=3)[5].image)
    for index in range(0, 1152, 50):
        assert describe(source[index].image).attributes.caption == source[index].caption
    assert ShapesSource(seed=1).fingerprint != ShapesSource(seed=2).fingerprint


def test_bad_input():
    with pytest.raises(ValueError, match="told apart; got 8"):
        ShapesSource(side=8)
    with pytest.raises(ValueError, match="count=0"):
        ShapesSource(count=0)
    with pytest.raises(ValueError, match="got 'a red dog'"):
        parse("a red dog")
    with pytest.raises(ValueError, match="square image"):
        describe.__wrapped__(np.zeros((8, 9, 3), np.uint8))
