"""Shapes of one area, which image goes to which, and the order of batches of one shape."""

import itertools
import json

import numpy as np
import pytest

from equildm.data import batches, BucketedLatents, Buckets, CachedLatents, Crop
from equildm.data.buckets import BucketOrder
from equildm.images import to_unit


def test_shapes():
    assert Buckets(512).shapes == ((384, 640), (448, 576), (512, 512), (576, 448), (640, 384))
    for size, step, ratio in ((1024, 64, 2.0), (512, 32, 3.0), (32, 8, 2.0), (96, 8, 4.0)):
        shapes = Buckets(size, step, ratio).shapes
        assert (size, size) in shapes and {(w, h) for h, w in shapes} == set(shapes)
        for height, width in shapes:
            assert height % step == width % step == 0
            assert height * width <= size**2 and max(height, width) <= ratio * min(height, width)
            # No side has room for another step.
            assert min(height, width) * (max(height, width) + step) > size**2 or (
                max(height, width) + step > ratio * min(height, width)
            )
    assert Buckets(64, 64, 1.0).shapes == ((64, 64),)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 500}, "multiple of their step; got size 500 and step 64"),
        ({"size": 32}, "multiple of their step"),
        ({"size": 128, "max_ratio": float("nan")}, "at least 1; got nan"),
        ({"size": 64, "max_ratio": 0.5}, "at least 1; got 0.5"),
    ],
)
def test_bad_buckets(options, message):
    with pytest.raises(ValueError, match=message):
        Buckets(**options)


def test_the_nearest_aspect_is_chosen():
    buckets = Buckets(512)
    for (height, width), expected in {
        (100, 100): (512, 512),
        (1000, 3000): (384, 640),
        (3000, 1000): (640, 384),
        (600, 800): (448, 576),
        (768, 1280): (384, 640),
    }.items():
        assert buckets.shapes[buckets.choose(height, width)] == expected


def test_a_crop_covers_a_rectangle():
    image = np.zeros((60, 100, 3), np.uint8)
    image[:, :, 0] = np.arange(100)
    assert Crop((30, 50))(image).shape == (30, 50, 3)
    # As wide, less high: rows are cut above and below, and nothing is resized.
    np.testing.assert_array_equal(Crop((40, 100))(image), image[10:50])
    np.testing.assert_array_equal(Crop((60, 20))(image), image[:, 40:60])
    assert Crop((40, 100)).offset(60, 100) == (10, 0)
    assert Crop((20, 50)).offset(60, 100) == (5, 0)  # of the image at half its size
    assert Crop((30, 20)).offset(60, 100) == (0, 15)
    assert Crop((30, 20)).side(60, 100) == 30 and Crop((40, 100)).side(60, 100) == 60
    assert Crop((10, 100)).side(60, 100) == 60 and Crop(17).side(60, 100) == 17


@pytest.fixture
def wide(make_source):
    """Images of several shapes: 24x40, 40x24 and 32x32 are their buckets."""

    def make(count, **options):
        source = make_source(count, side=8, **options)
        rng = np.random.default_rng(1)
        shapes = [(30, 60), (64, 64), (64, 64), (60, 30), (33, 31), (64, 64), (64, 64)]
        source._images = [
            None if image is None else rng.integers(0, 256, (*shapes[i % 7], 3), np.uint8)
            for i, image in enumerate(source._images)
        ]
        return source

    return make


BUCKETS = Buckets(32, step=8)


def test_each_image_lies_in_its_bucket(wide, build, pool):
    source = wide(28, broken={3})
    dataset = build(source, buckets=BUCKETS)
    assert isinstance(dataset, BucketedLatents) and len(dataset) == 27
    assert dataset.manifest["buckets"] == {"24x40": 4, "32x32": 20, "40x24": 3}
    assert dataset.manifest["skipped"] == {"broken image": 1}
    by_name = {source.name(index): index for index in range(28)}
    for bucket in dataset.buckets:
        height, width = bucket.manifest["image_shape"]
        assert bucket.latent_shape == (height // 4, width // 4, 4)
        for sample in (bucket[i] for i in range(len(bucket))):
            index = by_name[sample.name]
            assert sample.caption == source.caption(index)
            crop = Crop((height, width))(source.image(index))
            np.testing.assert_allclose(sample.latent, pool(to_unit(crop)[None])[0], atol=1e-3)
    with pytest.raises(ValueError, match="has several: 24x40, 32x32, 40x24"):
        CachedLatents(dataset.folder)


def test_nothing_is_encoded_twice(wide, build):
    first = build(wide(14), buckets=BUCKETS)

    def fail(batch):
        raise AssertionError("encoded again")

    for source in (wide(14), wide(14, fingerprint="touched")):
        again = build(source, buckets=BUCKETS, encode_images=fail, encode_captions=fail)
        assert again.fingerprint == first.fingerprint
    # Squares of one cache are not taken for rectangles of another, nor the other way.
    squares = build(wide(14), size=32)
    assert len(squares) == 14 and squares.latent_shape == (8, 8, 4)
    other = build(wide(14, fingerprint="third"), buckets=BUCKETS, encode_images=fail)
    assert other.manifest["buckets"] == first.manifest["buckets"]
    assert json.loads((first.folder / "manifest.json").read_text())["samples"] == 14


def test_sizes_of_original_and_crop(wide, build):
    dataset = BucketedLatents(build(wide(7), buckets=BUCKETS).folder, with_sizes=True)
    sizes = [bucket.gather(range(len(bucket))).text.sizes for bucket in dataset.buckets]
    np.testing.assert_array_equal(sizes[0], [[30, 60, 0, 4, 24, 40]])
    np.testing.assert_array_equal(sizes[1][0], [64, 64, 0, 0, 32, 32])
    np.testing.assert_array_equal(sizes[1][2], [33, 31, 1, 0, 32, 32])
    np.testing.assert_array_equal(sizes[2], [[60, 30, 4, 0, 40, 24]])


def _take(dataset, count, **options):
    options = {"batch_size": 4, "seed": 7} | options
    return [batch.latents for batch in itertools.islice(batches(dataset, **options), count)]


def test_batches_of_one_shape(wide, build):
    dataset = build(wide(42), buckets=BUCKETS)
    expected = _take(dataset, 60)
    shapes = [batch.shape for batch in expected]
    assert set(shapes) == {(4, 6, 10, 4), (4, 8, 8, 4), (4, 10, 6, 4)}
    # 30, 6 and 6 of 42.
    assert 25 <= shapes.count((4, 8, 8, 4)) <= 55
    for start in (1, 17, 40):
        for one, other in zip(_take(dataset, 10, start=start), expected[start:], strict=False):
            np.testing.assert_array_equal(one, other)
    # Two processes: the parts one after the other are the batch.
    parts = [_take(dataset, 20, parts=(part,), of=2) for part in (0, 1)]
    for first, second, whole in zip(*parts, expected, strict=False):
        np.testing.assert_array_equal(np.concatenate([first, second]), whole)
    assert any(
        (a != b).any() for a, b in zip(expected, _take(dataset, 20, seed=8)) if a.shape == b.shape
    )


@pytest.mark.slow
def test_each_sample_comes_as_often(wide, build):
    """Over some epochs, whatever its bucket; in an epoch of its bucket exactly once."""
    dataset = build(wide(42), buckets=BUCKETS)
    seen = {}
    for batch in _take(dataset, 1050):  # 100 epochs
        for row in batch:
            seen[row.tobytes()] = seen.get(row.tobytes(), 0) + 1
    assert len(seen) == 42
    assert 75 < min(seen.values()) and max(seen.values()) < 125


def test_order():
    order = BucketOrder([900, 90, 10], seed=0)
    total = int(order._batches.sum())
    drawn = [order(k) for k in range(total)]
    counts = np.bincount([bucket for bucket, _ in drawn])
    np.testing.assert_allclose(counts / total, [0.9, 0.09, 0.01], atol=1e-4)
    for bucket in range(3):
        numbers = [number for b, number in drawn if b == bucket]
        assert numbers == list(range(len(numbers)))
        # The next period goes on.
        following = next(n for b, n in (order(total + k) for k in range(2000)) if b == bucket)
        assert following == len(numbers)
    assert [order(k) for k in (5, total + 5, 5)] == [drawn[5], order(total + 5), drawn[5]]
    assert [BucketOrder([900, 90, 10], 1)(k) for k in range(99)] != drawn[:99]
    rare = BucketOrder([10**7, 1], seed=0)
    assert int(rare._batches[1]) == 1
