"""Which samples of a data set are taken for scores: those with a caption and a readable image."""

import logging

import numpy as np
import pytest

from equildm.data import (
    AbstractSource,
    captions_or_empty,
    centre_crops,
    Crop,
    named_split,
    ShapesSource,
    Subset,
    usable_indices,
)
from equildm.data.source import UnusableSample


class Flawed(AbstractSource):
    """Shapes, where image 3 is broken, 5 has no caption, and all reads are noted."""

    fingerprint = "flawed"

    def __init__(self):
        self.shapes, self.read = ShapesSource(side=32, count=14), []

    def __len__(self) -> int:
        return len(self.shapes)

    def name(self, index: int) -> str:
        return f"{index}.png"

    def caption(self, index: int) -> str:
        if index == 5:
            raise UnusableSample("no caption", self.name(index))
        return self.shapes.caption(index)

    def image(self, index: int):
        self.read.append(index)
        if index == 3:
            raise UnusableSample("unreadable image", self.name(index))
        return self.shapes.image(index)


def test_the_first_usable_samples_are_taken_in_order(caplog):
    source = Flawed()
    with caplog.at_level(logging.WARNING, "equildm.data"):
        assert usable_indices(source, range(14), 4) == [0, 1, 2, 4]
    assert max(source.read) == 4  # no more is read than needed
    assert "3.png" in caplog.text and "skipped 1 of 14 samples" in caplog.text
    assert usable_indices(source, range(14), 99) == [i for i in range(14) if i not in (3, 5)]
    order = np.random.default_rng(0).permutation(14)
    expected = [int(i) for i in order if i not in (3, 5)]
    assert usable_indices(source, order, 99) == expected
    with pytest.raises(ValueError, match="must have a usable sample"):
        usable_indices(source, (3, 5), 2)


def test_captions_with_empty_ones_for_none(caplog):
    captions = captions_or_empty(Flawed())
    assert captions[5] == "" and all(captions[:5] + captions[6:])
    assert "1 of 14 images have no caption" in caplog.text
    with pytest.raises(ValueError, match="none of 2 images has one"):
        captions_or_empty(Subset(Flawed(), [5, 5]))


def test_images_are_cropped_in_the_middle():
    source = ShapesSource(side=32, count=3)
    crops = centre_crops(source, [2, 0], 16)
    assert crops.shape == (2, 16, 16, 3) and crops.dtype == np.uint8
    np.testing.assert_array_equal(crops[0], Crop(16)(source.image(2)))


def test_an_empty_split_is_refused():
    source = ShapesSource(side=32, count=3)
    training, held_out = Subset(source, [0, 2]), Subset(source, [])
    assert named_split("training", training, held_out) is training
    with pytest.raises(ValueError, match=r"no held-out captions.*--held-out.*--split training"):
        named_split("held-out", training, held_out)
    with pytest.raises(ValueError, match=r"no training captions.*--split held-out"):
        named_split("training", held_out, training)
