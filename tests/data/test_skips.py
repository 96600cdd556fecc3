"""Unusable samples: counted once, named, never in the way."""

import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from equildm.data import AbstractSource, Crop, Cut, ImageDataset, Skips


def test_counts_and_log(make_source, caplog):
    source = make_source(40, broken=range(30), mute={35})
    skips = Skips(source)
    with caplog.at_level(logging.INFO, "equildm.data"), ThreadPoolExecutor(4) as pool:
        usable = list(
            pool.map(lambda index: skips.attempt(index % 40, source.__getitem__), range(80))
        )
    assert sum(sample is not None for sample in usable) == 2 * 9
    assert skips.counts == {"broken image": 30, "missing caption": 1}
    lines = [record for record in caplog.records if record.message.startswith("skipped image")]
    assert len(lines) == 31
    assert sum(record.levelno == logging.WARNING for record in lines) == 20
    skips.summarise()
    assert "skipped 31 of 40 samples: " in caplog.messages[-1]
    assert "30 x broken image" in caplog.messages[-1]


def test_replacement_does_not_depend_on_history(make_source):
    source = make_source(10, broken={2, 3, 9})
    fresh = [Skips(source).nearest(index, source.image) for index in range(10)]
    used = Skips(source)
    order = [9, 3, 2, 0, 1, 8, 4, 5, 6, 7, 3, 9]
    for index in order:
        np.testing.assert_array_equal(used.nearest(index, source.image), fresh[index])
    for index, stand_in in {2: 4, 3: 4, 9: 0, 5: 5}.items():
        np.testing.assert_array_equal(fresh[index], source.image(stand_in))


def test_images_need_no_captions(make_source):
    dataset = ImageDataset(make_source(3, mute=range(3)), Crop(8))
    assert dataset.read(1).shape == (8, 8, 3)


def test_nothing_usable(make_source):
    with pytest.raises(ValueError, match=r"of 3 none is \(3 x broken image\)"):
        ImageDataset(make_source(3, broken=range(3)), Crop(8), max_skipped=1.0)


class _Foreign(AbstractSource):
    """A source of someone else's, which raises what it likes."""

    fingerprint = "foreign"

    def __len__(self):
        return 3

    def name(self, index):
        raise RuntimeError("no names")

    def caption(self, index):
        return "a caption"

    def image(self, index):
        if index == 0:
            raise ValueError("not what I expected")
        if index == 2:
            raise OSError("the disk is gone")
        return np.zeros((8, 8, 3), np.uint8)


def test_foreign_errors_are_unreadable_records_but_for_those_of_the_machine():
    source = _Foreign()
    skips = Skips(source)
    assert skips.attempt(0, source.image) is None
    assert skips.names == {"unreadable record": ["sample 0"]}
    assert skips.attempt(1, source.image) is not None
    with pytest.raises(OSError, match="the disk is gone"):
        skips.attempt(2, source.image)


def test_more_skips_than_the_limit_are_an_error(make_source):
    source = make_source(40, broken=range(8, 20), mute={35})
    skips = Skips(source, 0.1)
    for index in range(12):
        skips.attempt(index, source.image)
    expected = (
        r"share of 0.1 .* unusable; so far 5 of 40 samples are: 5 x broken image \(image 8, "
        r"image 9, .*\)\. Mend the data, or raise --max-skipped\."
    )
    with pytest.raises(ValueError, match=expected):
        skips.attempt(12, source.image)
    with pytest.raises(ValueError, match="At most"):
        ImageDataset(make_source(10, broken={0}), Crop(8))
    assert ImageDataset(make_source(20, broken={0}), Crop(8)).read(0).shape == (8, 8, 3)


def test_data_of_the_wrong_kind_are_refused_at_once(make_source):
    """A quarter of the 64 that are looked at is too many, though the limit itself is far."""
    source = make_source(1000, 8, broken=range(0, 1000, 4))
    with pytest.raises(ValueError, match=r"so far \d+ of 64 samples are: \d+ x broken image"):
        ImageDataset(source, Crop(8))
    few = make_source(1000, 8, broken=range(0, 1000, 20))
    ImageDataset(few, Crop(8))
    assert few.decoded <= 65


def test_images_too_small_for_a_cut_are_skipped(make_source):
    images = [np.full((side, side, 3), side, np.uint8) for side in (32, 16, 32, 32)]
    source = type(make_source(0))(images, ["a"] * 4)
    dataset = ImageDataset(source, Cut(32, random=True), max_skipped=0.25)
    assert dataset.read(1, np.random.default_rng(0)).shape == (32, 32, 3)
    assert dataset.skips.names == {"image too small": ["image 1"]}
    with pytest.raises(ValueError, match="1 x image too small"):
        ImageDataset(source, Cut(32))
