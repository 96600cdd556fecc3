"""Batches moved ahead of use: the same ones, an honest position, threads that end."""

import gc
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from equildm.data import (
    AbstractDataset,
    batches,
    Crop,
    ImageBatch,
    ImageDataset,
    prefetch,
    shuffled,
)

ROOT = Path(__file__).resolve().parents[2]


class _Numbers(AbstractDataset):
    """Sample i is the number i; reading number `bad` fails."""

    def __init__(self, count, bad=None):
        self.count, self.bad, self.read = count, bad, 0

    def __len__(self):
        return self.count

    def parts(self, batch_size, of, seed):
        order, batch = shuffled(len(self), seed), batch_size // of

        def gather(indices):
            self.read += 1
            if self.bad in indices:
                raise OSError("the disk is gone")
            return {"number": np.asarray(indices)}

        return order.batch(batch).map(gather)


def _threads():
    return [thread for thread in threading.enumerate() if thread.name == "equildm prefetch"]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    gc.collect()
    assert _threads() == []


def test_same_batches_on_the_device(make_source):
    dataset = ImageDataset(make_source(8), Crop(8))
    plain = batches(dataset, batch_size=4, seed=0)
    with prefetch(batches(dataset, batch_size=4, seed=0)) as ahead:
        for _ in range(5):
            batch = next(ahead)
            assert isinstance(batch, ImageBatch) and isinstance(batch.images, jax.Array)
            np.testing.assert_array_equal(batch.images, next(plain).images)


def test_position_counts_what_was_given():
    dataset = _Numbers(100)
    expected = [
        next(it)["number"] for it in [batches(dataset, batch_size=4, seed=0)] for _ in range(9)
    ]
    with prefetch(batches(dataset, batch_size=4, seed=0, start=2), depth=3) as ahead:
        for _ in range(3):
            next(ahead)
        deadline = time.monotonic() + 5
        while dataset.read < 9 + 3 + 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert ahead.position == 5  # though the thread has read further
        resumed = batches(dataset, batch_size=4, seed=0, start=ahead.position)
        np.testing.assert_array_equal(next(resumed)["number"], expected[5])
        np.testing.assert_array_equal(next(ahead)["number"], expected[5])


def test_reads_ahead_but_not_far():
    dataset = _Numbers(100)
    with prefetch(batches(dataset, batch_size=4, seed=0), depth=2) as ahead:
        next(ahead)
        time.sleep(0.5)
        assert dataset.read == 1 + 2 + 1  # returned, waiting, in the thread's hand


def test_fewer_are_held_where_they_are_large(monkeypatch):
    monkeypatch.setattr(sys.modules["equildm.data.prefetch"], "READ_AHEAD", 100)
    dataset = _Numbers(100)
    with prefetch(batches(dataset, batch_size=8, seed=0), depth=5) as ahead:  # 64 bytes each
        next(ahead)
        time.sleep(0.5)
        assert dataset.read == 1 + 1 + 1  # returned, waiting, in the thread's hand


def test_sharded():
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    with prefetch(batches(_Numbers(8), batch_size=4, seed=0), sharding) as ahead:
        assert next(ahead)["number"].sharding == sharding


def test_errors_arrive_where_the_batch_would_have():
    plain = batches(_Numbers(20), batch_size=4, seed=0)
    order = np.stack([next(plain)["number"] for _ in range(5)])
    bad = int(order[3, 2])
    ahead = prefetch(batches(_Numbers(20, bad=bad), batch_size=4, seed=0))
    for row in order[:3]:
        np.testing.assert_array_equal(next(ahead)["number"], row)
    with pytest.raises(OSError, match="the disk is gone"):
        next(ahead)
    assert ahead.position == 3
    with pytest.raises(StopIteration):
        next(ahead)


def test_dropping_ends_the_thread():
    ahead = prefetch(batches(_Numbers(20), batch_size=4, seed=0))
    next(ahead)
    assert len(_threads()) == 1
    del ahead
    gc.collect()
    assert _threads() == []


def test_depth():
    with pytest.raises(ValueError, match="depth=0"):
        prefetch(batches(_Numbers(20), batch_size=4, seed=0), depth=0)


def test_exit_is_clean():
    """A process that ends without closing ends quietly, and at once."""
    code = """
from equildm.data import batches, Crop, ImageDataset, prefetch, ShapesSource
ahead = prefetch(batches(ImageDataset(ShapesSource(side=32), Crop(32)), batch_size=4, seed=0))
print(next(ahead).images.shape)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "(4, 32, 32, 3)\n", "")
