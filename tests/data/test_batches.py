"""Order, resuming and sharing out of batches."""

import itertools
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import others_slow

from equildm._types import SizeCondition, TextEmbedding
from equildm.data import (
    batches,
    Crop,
    ImageBatch,
    ImageDataset,
    LatentBatch,
    LatentCache,
)
from equildm.data.batch import host_sizes, host_text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("caches")


@pytest.fixture(params=["latents", "images"])
def dataset(request, make_source, pool, spell, folder):
    if request.param == "images":
        return ImageDataset(
            make_source(10, side=24, broken={4}), Crop(8, random=True, flip=True), max_skipped=0.1
        )
    return LatentCache(
        encode_images=pool,
        encode_captions=spell,
        image_key="",
        caption_key="",
        folder=folder,
        batch=4,
    ).latents(make_source(10), 16)


def _array(batch):
    return batch.latents if isinstance(batch, LatentBatch) else batch.images


def _take(dataset, count, **options):
    options = {"batch_size": 4, "seed": 7} | options
    return [_array(batch) for batch in itertools.islice(batches(dataset, **options), count)]


def test_types(dataset):
    batch = next(batches(dataset, batch_size=4, seed=0))
    if isinstance(batch, LatentBatch):
        assert batch.latents.shape == (4, 4, 4, 4) and batch.latents.dtype == np.float32
        assert batch.text.tokens.shape == (4, 24, 2) and batch.text.mask.shape == (4, 24)
    else:
        assert isinstance(batch, ImageBatch)
        assert batch.images.shape == (4, 8, 8, 3) and batch.images.dtype == np.uint8


def test_deterministic_and_seeded(dataset):
    first, again, other = (_take(dataset, 6, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (np.stack(first) != np.stack(other)).any()


@pytest.mark.parametrize("start", others_slow([1, 2, 3, 17], 3, 17))
def test_resumes_at_the_exact_batch(dataset, start):
    """Also in the second and later epochs: 10 samples in batches of 4."""
    expected = _take(dataset, start + 4)
    iterator = batches(dataset, batch_size=4, seed=7)
    for _ in range(start):
        next(iterator)
    assert iterator.position == start
    assert batches(dataset, batch_size=4, seed=7, start=start).position == start
    np.testing.assert_array_equal(_take(dataset, 4, start=start), expected[start:])


@pytest.mark.parametrize("count", [2, 4])
def test_another_number_of_processes_sees_the_same(dataset, count):
    """Row for row: the parts one after the other are the batch; also when resumed in between."""
    expected = _take(dataset, 9)
    parts = [_take(dataset, 4, parts=(index,), of=count) for index in range(count)]
    np.testing.assert_array_equal([np.concatenate(rows) for rows in zip(*parts)], expected[:4])
    parts = [_take(dataset, 5, start=4, parts=(index,), of=count) for index in range(count)]
    np.testing.assert_array_equal([np.concatenate(rows) for rows in zip(*parts)], expected[4:])


def test_parts_that_do_not_lie_together(dataset):
    """As for a process whose devices are spread over the mesh: rows in the order of the batch."""
    expected = _take(dataset, 3)
    spread = _take(dataset, 3, parts=(0, 3), of=4)
    np.testing.assert_array_equal(spread, np.asarray(expected)[:, [0, 3]])


def test_every_sample_once_an_epoch(make_source, pool, spell, folder):
    source = make_source(10)
    cache = LatentCache(
        encode_images=pool,
        encode_captions=spell,
        image_key="",
        caption_key="",
        folder=folder,
    ).latents(source, 16)
    number = {cache[index].latent.tobytes(): index for index in range(10)}
    rows = np.concatenate(_take(cache, 5))
    order = [number[row.tobytes()] for row in rows]
    assert sorted(order[:10]) == sorted(order[10:]) == list(range(10))
    assert order[:10] != order[10:] and order[:10] != list(range(10))
    # Captions stay with their images.
    batch = next(batches(cache, batch_size=10, seed=7))
    for latent, tokens in zip(batch.latents, batch.text.tokens, strict=True):
        caption = source.caption(number[latent.tobytes()])
        np.testing.assert_array_equal(tokens, np.asarray(spell([caption]).tokens[0]))


def test_random_crops_differ_between_epochs(make_source):
    dataset = ImageDataset(make_source(1, side=24), Crop(8, random=True, flip=True))
    rows = np.concatenate(_take(dataset, 12, batch_size=1))
    assert len({row.tobytes() for row in rows}) == 2  # a square image: as it is, and mirrored


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "at least 1; got 0"),
        ({"parts": (0, 2), "of": 2}, r"got parts \(0, 2\) of 2"),
        ({"parts": (), "of": 2}, r"got parts \(\) of 2"),
        ({"of": 0}, r"got parts \(0,\) of 0"),
        ({"batch_size": 5, "of": 2}, "got 5 for 2. Use for instance 6"),
        ({"start": -1}, "start=-1"),
    ],
)
def test_bad_input(dataset, options, message):
    with pytest.raises(ValueError, match=message):
        batches(dataset, **({"batch_size": 4, "seed": 0} | options))


def test_a_batch_larger_than_the_data_repeats_samples(dataset, caplog):
    """Each comes up as often as the others, or once more; the log says so once."""
    first, second = _take(dataset, 2, batch_size=25)
    assert [record.getMessage() for record in caplog.records if "batch" in record.getMessage()] == [
        "a batch of 25 has more than the 10 samples of the data set: each comes up 2 times or more "
        "in it"
    ]
    if isinstance(next(batches(dataset, batch_size=4, seed=7)), LatentBatch):
        rows = [row.tobytes() for row in (*first, *second)]
        assert sorted(rows.count(row) for row in set(rows)) == [5] * 10
        assert sorted(rows[:25].count(row) for row in set(rows)) == [2] * 5 + [3] * 5
    np.testing.assert_array_equal(_take(dataset, 1, batch_size=25, start=1)[0], second)
    parts = [_take(dataset, 2, batch_size=25, parts=(part,), of=5) for part in range(5)]
    np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), second)


def test_a_data_set_without_samples_is_refused(make_source):
    empty = ImageDataset(make_source(1), Crop(8))
    empty._source = make_source(0)
    with pytest.raises(ValueError, match="at least 1 sample; got none"):
        batches(empty, batch_size=1, seed=0)


@pytest.mark.parametrize("limit", [1, 2**30])
def test_what_is_read_ahead_is_bounded_in_bytes(make_source, monkeypatch, limit):
    """Threads share a batch: four pieces of two images, of which the first begins nothing yet."""
    monkeypatch.setattr("equildm.data.pipeline.READ_AHEAD", limit)
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    source = make_source(64, side=24)
    dataset = ImageDataset(source, Crop(8, random=True, flip=True))
    iterator = batches(dataset, batch_size=8, seed=1)
    before = source.decoded
    next(iterator)
    expected = before + 8 + 3 * 2 * (1 if limit == 1 else 2)
    deadline = time.monotonic() + 5
    while source.decoded < expected and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    assert source.decoded == expected


@pytest.mark.parametrize("batch_size", [1, 5, 7, 12])
def test_pieces_are_the_rows_of_the_batch(make_source, monkeypatch, batch_size):
    """However many threads share it."""
    dataset = ImageDataset(make_source(20, side=24), Crop(8, random=True, flip=True))
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    expected = _take(dataset, 4, batch_size=batch_size)
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    np.testing.assert_array_equal(_take(dataset, 4, batch_size=batch_size), expected)


def test_a_text_of_the_host_is_built_as_any_other():
    """Batches meet null embeddings, which encoders build, in one tree."""
    tokens, mask = np.zeros((3, 4), np.float32), np.ones(3, bool)
    ours, theirs = host_text(tokens, mask), TextEmbedding(jnp.asarray(tokens), jnp.asarray(mask))
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    sizes = np.zeros(6, np.float32)
    theirs = SizeCondition(theirs, jnp.asarray(sizes))
    assert jax.tree.structure(host_sizes(ours, sizes)) == jax.tree.structure(theirs)
