"""What is held out: whole captions, single images, or what suits the data."""

import hashlib

import numpy as np
import pytest

from equildm.data import (
    AbstractSource,
    EmojiSource,
    is_held_out,
    ShapesSource,
    Skips,
    split,
    split_unit,
    Subset,
)


class Named(AbstractSource):
    """Samples with these names and captions, and no image."""

    fingerprint = "named"

    def __init__(self, names, captions):
        self._names, self._captions = names, captions

    def __len__(self):
        return len(self._names)

    def name(self, index):
        return self._names[index]

    def caption(self, index):
        return self._captions[index]

    def image(self, index):
        raise AssertionError("a split decodes no image")


def classes(count, number=10):
    """`count` samples of `number` classes."""
    return Named([f"{i}.png" for i in range(count)], [f"class {i % number}" for i in range(count)])


def names(part: Subset) -> list[str]:
    return [part.name(index) for index in range(len(part))]


def captions(part: Subset) -> set[str]:
    return {part.caption(index) for index in range(len(part))}


def test_by_caption(make_source):
    source = make_source(300, mute={4})
    training, held_out = split(source, 0.2, by="caption")
    assert len(training) + len(held_out) == 300
    assert 20 < len(held_out) < 100
    seen = {Skips(training).attempt(index, training.caption) for index in range(len(training))}
    assert not captions(held_out) & seen
    assert None in seen  # the one without a caption, left to be counted
    assert captions(held_out) < captions(split(source, 0.4, by="caption")[1])
    assert training.fingerprint != held_out.fingerprint
    first = held_out[0]
    assert is_held_out(first.caption, 0.2) and not is_held_out(first.caption, 0.0)
    np.testing.assert_array_equal(first.image, source[int(first.name.split()[1])].image)
    with pytest.raises(ValueError, match=r"\[0, 1\); got 1.5"):
        is_held_out("a", 1.5)


def test_by_image(make_source):
    source = make_source(40, 4, mute=range(40))
    training, held_out = split(source, 0.3, by="image")
    both = names(training) + names(held_out)
    assert len(both) == 40 == len(set(both)) and 4 < len(held_out) < 22
    assert all(is_held_out(name, 0.3) for name in names(held_out))
    assert len(split(source, 0.3, by="caption")[1]) == 0
    assert names(split(source, 0.3)[1]) == names(held_out)  # auto: there are no captions


def test_classes_are_split_by_image(caplog):
    source = classes(2000)
    training, held_out = split(source, 0.05)
    assert "10 captions for 2000 images: images are held out" in caplog.text
    assert 60 < len(held_out) < 140
    assert len(captions(held_out)) == len(captions(training)) == 10
    assert not set(names(training)) & set(names(held_out))


def test_an_image_stays_on_its_side():
    """Whatever the order, and however many others there are."""
    order = np.random.default_rng(0).permutation(500)
    shuffled = Subset(classes(500), order)
    few, more = split(shuffled, 0.1)[1], split(classes(900), 0.1)[1]
    assert set(names(few)) == {name for name in names(more) if int(name[:-4]) < 500}
    assert 0 < len(few) < len(more)


@pytest.mark.parametrize(("count", "unit"), [(99, "caption"), (100, "image"), (9, "caption")])
def test_captions_repeat_from_ten_images_each(count, unit):
    source = classes(count)
    assert split_unit(source) == unit
    assert names(split(source, 0.3)[1]) == names(split(source, 0.3, by=unit)[1])


@pytest.mark.parametrize("source", [EmojiSource, ShapesSource])
def test_built_in_sets_are_split_as_ever(source):
    """By caption, by the rule of version 0.1 in its own words."""
    samples = source()
    expected = []
    for index in range(len(samples)):
        code = hashlib.blake2b(samples.caption(index).encode(), digest_size=8).digest()
        if int.from_bytes(code, "big") < 0.05 * 2**64:
            expected.append(index)
    training, held_out = split(samples)
    assert held_out.fingerprint == Subset(samples, expected).fingerprint
    rest = np.setdiff1d(np.arange(len(samples)), expected)
    assert training.fingerprint == Subset(samples, rest).fingerprint


def test_images_of_one_name_stay_together():
    source = Named([f"{i // 2}.png" for i in range(60)], ["a"] * 60)
    training, held_out = split(source, 0.3)
    assert not set(names(training)) & set(names(held_out)) and len(held_out) % 2 == 0 < len(
        held_out
    )


def test_names_that_tell_nothing_are_refused():
    source = Named(["image"] * 60, ["a", "b"] * 30)
    with pytest.raises(
        ValueError, match=r"1 names for 60 samples, such as 'image'.*--hold-out cap"
    ):
        split(source, 0.05)
    assert len(split(source, 0.0)[0]) == 60  # nothing is held out, and no name is needed


def test_a_split_leaves_something_for_training():
    caption = next(text for text in map(str, range(99)) if is_held_out(text, 0.1))
    source = Named([f"{i}.png" for i in range(30)], [caption] * 30)
    with pytest.raises(
        ValueError, match=r"by caption, the share 0.1 holds out all 30 .*--hold-out"
    ):
        split(source, 0.1, by="caption")
    assert 0 < len(split(source, 0.1)[1]) < 30
    assert [len(part) for part in split(Subset(source, []), 0.1)] == [0, 0]


def test_what_to_split_by_is_one_of_three(make_source):
    with pytest.raises(ValueError, match="by auto, caption, image; got 'name'"):
        split(make_source(3), by="name")
