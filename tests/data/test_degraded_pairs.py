"""Images with degraded versions in pairs: the same always, and unusable images are counted."""

import numpy as np
import pytest
from PIL import Image

from equildm.data import batches, DegradedPairs, FolderSource
from equildm.data.batch import host_text
from equildm.data.degrade import Always, bicubic, real_esrgan, Resize


def text(count=1):
    return host_text(
        np.arange(count * 6, dtype=np.float32).reshape(count, 2, 3), np.ones((count, 2), bool)
    )


@pytest.fixture
def dataset(make_source):
    def make(count=5, side=24, size=16, scale=4, degradation=None, broken=(), **options):
        degradation = degradation or real_esrgan(scale)
        options = {"text": text(), "max_skipped": 1.0} | options
        return DegradedPairs(make_source(count, side, broken), size, scale, degradation, **options)

    return make


def stream(data, count, start=0, parts=(0,), of=1, batch_size=4, seed=3):
    iterator = batches(data, batch_size=batch_size, seed=seed, start=start, parts=parts, of=of)
    return [next(iterator) for _ in range(count)]


def assert_same(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x.images, y.images)
        np.testing.assert_array_equal(x.low, y.low)


def test_an_example_follows_from_seed_and_number(dataset):
    data = dataset(crops=3)
    expected = stream(data, 6)
    assert expected[0].images.shape == (4, 16, 16, 3) and expected[0].low.shape == (4, 4, 4, 3)
    assert expected[0].images.dtype == expected[0].low.dtype == np.uint8
    assert_same(stream(dataset(crops=3), 4, start=2), expected[2:])  # resumed, in another process
    halves = [stream(data, 6, parts=(part,), of=2) for part in (0, 1)]
    joined = [
        type(a)(*(np.concatenate(x) for x in ((a.images, b.images), (a.low, b.low))), a.text)
        for a, b in zip(*halves, strict=True)
    ]
    assert_same(joined, expected)
    other = stream(data, 1, seed=4)[0]
    assert not np.array_equal(other.images, expected[0].images)


def test_squares_are_pixels_of_the_image_and_low_is_their_degradation(make_source):
    source = make_source(1, 20)
    image = source.image(0)
    small = Always(Resize(0.5, "area"))
    data = DegradedPairs(source, 8, 2, small, text=text(), crops=8)
    seen = set()
    for batch in stream(data, 4, batch_size=8):
        for square, low in zip(batch.images, batch.low, strict=True):
            places = [
                (top, left, mirrored)
                for top in range(13)
                for left in range(13)
                for mirrored in (False, True)
                if np.array_equal(
                    image[top : top + 8, left : left + 8][:, :: -1 if mirrored else 1], square
                )
            ]
            assert len(places) == 1
            seen.update(places)
            mean = square.reshape(4, 2, 4, 2, 3).mean((1, 3))
            np.testing.assert_allclose(low, mean, atol=0.51)
    assert len(seen) > 20 and {place[2] for place in seen} == {False, True}


@pytest.mark.parametrize("broken", [(), (1,)])
def test_captions_stay_with_their_images(make_source, broken):
    """Also that of an image that stands in for a broken one."""
    source = make_source(3, 16, broken)
    texts = text(3)
    data = DegradedPairs(
        source, 16, 2, bicubic(2), text=texts, flip=False, max_skipped=len(broken) / 3
    )
    usable = [i for i in range(3) if i not in broken]
    for one in stream(data, 2, batch_size=3):
        for image, tokens in zip(one.images, one.text.tokens, strict=True):
            number = next(i for i in usable if np.array_equal(source.image(i), image))
            np.testing.assert_array_equal(tokens, texts.tokens[number])


def test_what_is_too_small_or_broken_is_counted_and_passed_over(tmp_path):
    rng = np.random.default_rng(0)
    for name, side in (("a", 40), ("b", 12), ("d", 40)):
        image = Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8))
        image.save(tmp_path / f"{name}.png")
    (tmp_path / "c.png").write_bytes((tmp_path / "a.png").read_bytes()[:400])
    data = DegradedPairs(
        FolderSource(tmp_path), 32, 4, bicubic(4), text=text(), crops=2, max_skipped=0.5
    )
    for batch in stream(data, 4, batch_size=8):
        assert batch.images.shape == (8, 32, 32, 3)
    assert data.skips.counts == {"image too small": 1, "broken image": 1}
    assert data.skips.names == {"image too small": ["b.png"], "broken image": ["c.png"]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"side": 8}, "5 x image too small"),
        ({"broken": range(5)}, "5 x broken image"),
        ({"scale": 3, "degradation": bicubic(3)}, "divides 16; got 3. Use for instance 2"),
        ({"scale": 1, "degradation": bicubic(2)}, "at least 2"),
        ({"crops": 0}, "at least 1 crop"),
        ({"text": text(2)}, "one caption for each of 5"),
    ],
)
def test_what_cannot_work_is_refused(dataset, options, message):
    with pytest.raises(ValueError, match=message):
        dataset(**options)


def test_a_degradation_of_another_scale_is_refused(dataset):
    data = dataset(degradation=bicubic(2))
    with pytest.raises(ValueError, match="makes 4x4 of a crop of 16 pixels; this one made 8x8"):
        data.pair(0, np.random.default_rng(0))
