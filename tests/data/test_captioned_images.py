"""Images with their captions in batches: the same always, and never with another's caption."""

import jax
import numpy as np
import pytest
from PIL import Image

from equildm.data import (
    batches,
    CaptionedDataConfig,
    CaptionedImages,
    Crop,
    FolderSource,
    split,
    usable_indices,
)
from equildm.data.batch import host_text


def numbered(captions):
    """An embedding that is the number in the caption."""
    numbers = np.asarray([int(caption.split()[-1]) for caption in captions], np.float32)
    tokens = np.broadcast_to(numbers[:, None, None], (len(captions), 2, 3))
    return host_text(tokens, np.ones((len(captions), 2), bool))


def negative(image):
    return 255 - image[::2, ::2, :1]


def stream(data, count, **options):
    iterator = batches(data, **{"batch_size": 4, "seed": 3, **options})
    return [next(iterator) for _ in range(count)]


def test_every_image_has_its_own_caption(make_source):
    source = make_source(9)
    data = CaptionedImages(source, Crop(16), numbered)
    numbers = {source.image(i).tobytes(): i // 3 for i in range(9)}
    seen = set()
    for batch in stream(data, 9):
        assert batch.images.dtype == np.uint8 and batch.images.shape == (4, 16, 16, 3)
        assert batch.text.tokens.dtype == np.float32 and batch.text.tokens.shape == (4, 2, 3)
        assert batch.control is None
        for image, tokens in zip(batch.images, batch.text.tokens, strict=True):
            assert tokens[0, 0] == numbers[image.tobytes()]
            seen.add(image.tobytes())
    assert len(seen) == 9


def test_captions_are_embedded_once(make_source):
    calls = []

    def embed(captions):
        calls.append(list(captions))
        return numbered(captions)

    CaptionedImages(make_source(9), Crop(16), embed)
    assert calls == [["thing number 0", "thing number 1", "thing number 2"]]


def test_what_cannot_be_used_is_counted_and_replaced(make_source):
    """Sample 3 has no caption; for the broken sample 1 its neighbour stands in."""
    source = make_source(6, broken=(1,), mute=(3,))
    data = CaptionedImages(source, Crop(16), numbered, max_skipped=0.2)
    assert len(data) == 5
    numbers = {source.image(i).tobytes(): i // 3 for i in (0, 2, 4, 5)}
    for batch in stream(data, 5):
        for image, tokens in zip(batch.images, batch.text.tokens, strict=True):
            assert tokens[0, 0] == numbers[image.tobytes()]
    assert data.skips.counts == {"broken image": 1}
    with pytest.raises(ValueError, match=r"usable|used"):
        CaptionedImages(make_source(3, mute=(0, 1, 2)), Crop(16), numbered, max_skipped=1.0)


def test_control_images_are_made_of_the_crops(make_source):
    data = CaptionedImages(make_source(9, 24), Crop(16, flip=True), numbered, control=negative)
    for batch in stream(data, 3):
        assert batch.control.shape == (4, 8, 8, 1)
        np.testing.assert_array_equal(batch.control, 255 - batch.images[:, ::2, ::2, :1])


def test_an_example_follows_from_seed_and_number(make_source):
    def data():
        crop = Crop(16, random=True, flip=True)
        return CaptionedImages(make_source(9, 24), crop, numbered, control=negative)

    def same(a, b):
        return all(map(np.array_equal, jax.tree.leaves(a), jax.tree.leaves(b)))

    batch_list = stream(data(), 6)
    assert same(batch_list[2:], stream(data(), 4, start=2))
    halves = [stream(data(), 6, parts=(part,), of=2) for part in (0, 1)]
    joined = jax.tree.map(lambda *x: np.concatenate(x), *halves)
    assert same(joined, batch_list)
    assert not same(batch_list[0], stream(data(), 1, seed=4)[0])


def test_a_config_splits_and_crops(tmp_path):
    random = np.random.default_rng(0)
    for index in range(40):
        pixels = random.integers(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
        (tmp_path / f"{index}.txt").write_text(f"thing number {index}")
    config = CaptionedDataConfig(source=str(tmp_path), size=16, held_out=0.3)
    training, held_out = config.splits()
    expected = split(FolderSource(tmp_path), 0.3)
    assert [len(training), len(held_out)] == [len(part) for part in expected]
    examples = config.examples(held_out, 4)
    assert examples.images.shape == (4, 16, 16, 3) and len(set(examples.captions)) == 4
    again = config.examples(held_out, 4)
    np.testing.assert_array_equal(again.images, examples.images)
    everything = config.examples(held_out, 1000)
    assert len(everything.captions) == len(usable_indices(held_out, range(len(held_out)), 1000))
    for wrong in ({"size": 0}, {"held_out": 1.0}):
        with pytest.raises(ValueError, match=r"at least 1 pixel|lies in"):
            CaptionedDataConfig(**wrong)
