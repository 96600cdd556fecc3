"""Statistics in pieces, on disk, from several processes; and of images."""

import jax
import jaxtyping
import numpy as np
import pytest
from helpers import free_port, run_together

from equildm.features import AlexNet, antialiased_bicubic, pool_features, Resized
from equildm.metrics import (
    collect_statistics,
    compare_sets,
    describe_features,
    FeatureStatistics,
    frechet_distance,
)


@pytest.fixture
def some():
    x = np.random.default_rng(0).normal(3.0, 2.0, (50, 6)) @ np.diag(np.arange(1.0, 7))
    return FeatureStatistics.of("Test", x)


def test_images_are_streamed(monkeypatch):
    """Merged every few batches, the last of which is short; what was read is not kept."""
    network = AlexNet(key=jax.random.key(0))
    images = np.random.default_rng(0).integers(0, 256, (11, 32, 32, 3), dtype=np.uint8)
    monkeypatch.setattr("equildm.metrics.statistics.ROWS", 4)
    streamed = collect_statistics(network, iter(images), batch=2, taps=(0,))
    features = pool_features(network, images, batch=2, taps=(0,))
    union = FeatureStatistics.of("AlexNet, 32 pixels", features)
    assert (streamed.extractor, streamed.count) == ("AlexNet, 32 pixels", 11)
    np.testing.assert_allclose(streamed.mean, union.mean, rtol=1e-12)
    np.testing.assert_allclose(streamed.scatter, union.scatter, rtol=1e-9, atol=1e-12)
    with pytest.raises(ValueError, match="at least one image, received none"):
        collect_statistics(network, [])


def test_statistics_carry_the_size_of_the_images(monkeypatch):
    """A network that takes images as they are sees other features in small ones than in large."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    network = AlexNet(key=jax.random.key(0))
    small, large = (np.zeros((2, side, side, 3), np.uint8) for side in (32, 64))
    sets = [collect_statistics(network, images) for images in (small, large)]
    with pytest.raises(ValueError, match=r"AlexNet, 32 pixels .* and AlexNet, 64 pixels"):
        frechet_distance(*sets)
    with pytest.raises(ValueError, match="at one size, received features of AlexNet, 32 pixels"):
        compare_sets(("kid",), small, large, network)
    resized = Resized(network, antialiased_bicubic(64))
    sets = [collect_statistics(resized, images) for images in (small, large)]
    assert sets[0].extractor == "AlexNet, antialiased-bicubic 64"
    assert frechet_distance(*sets) == pytest.approx(0.0, abs=1e-6)
    assert describe_features(network, (5, 32, 48, 3)) == "AlexNet, 32x48 pixels"


def test_saved_and_reloaded(some, tmp_path):
    some.save(tmp_path / "statistics.npz")
    again = FeatureStatistics.load(tmp_path / "statistics.npz")
    assert (again.extractor, again.count) == ("Test", 50)
    np.testing.assert_array_equal(again.mean, some.mean)
    np.testing.assert_allclose(again.scatter, some.scatter, rtol=1e-15)
    with np.load(tmp_path / "statistics.npz") as public:  # as pytorch-fid reads it
        np.testing.assert_array_equal(public["mu"], some.mean)
        np.testing.assert_array_equal(public["sigma"], some.covariance)
    assert list(tmp_path.iterdir()) == [tmp_path / "statistics.npz"]


def test_public_files_record_neither_network_nor_count(some, tmp_path):
    path = tmp_path / "public.npz"
    np.savez(path, mu=some.mean.astype(np.float32), sigma=some.covariance)
    with pytest.raises(ValueError, match="does not record its extractor"):
        FeatureStatistics.load(path, count=50)
    with pytest.raises(ValueError, match="does not record its count"):
        FeatureStatistics.load(path, extractor="Test")
    public = FeatureStatistics.load(path, extractor="Test", count=50)
    assert frechet_distance(public, some) < 1e-8
    some.save(path)
    with pytest.raises(
        ValueError, match="records the extractor 'Test', received extractor='Other'"
    ):
        FeatureStatistics.load(path, extractor="Other")


def test_broken_files_are_named(tmp_path):
    for name, content in {"a.npz": {"mu": np.zeros(3)}, "b.npz": {"x": np.zeros(3)}}.items():
        np.savez(tmp_path / name, **content)
        with pytest.raises(ValueError, match=rf"{name} must be an .npz with 'mu' and 'sigma'"):
            FeatureStatistics.load(tmp_path / name)
    (tmp_path / "c.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(ValueError, match=r"c.npz must be an .npz"):
        FeatureStatistics.load(tmp_path / "c.npz")
    np.savez(tmp_path / "d.npz", mu=np.zeros(3), sigma=np.eye(2))
    with pytest.raises(ValueError, match=r"mean of \(3,\) and a covariance of \(2, 2\)"):
        FeatureStatistics.load(tmp_path / "d.npz", extractor="Test", count=50)
    np.save(tmp_path / "e.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"e.npy must be an .npz"):
        FeatureStatistics.load(tmp_path / "e.npy")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mu": np.float64(1.0), "sigma": np.eye(1)}, r"mean of \(\)"),
        ({"mu": np.zeros((3, 1))}, r"mean of \(3, 1\)"),
        ({"mu": np.zeros(0), "sigma": np.zeros((0, 0))}, r"mean of \(0,\)"),
        ({"mu": np.array([0.0, np.nan, 0.0])}, "not finite"),
        ({"sigma": np.full((3, 3), np.inf)}, "not finite"),
        ({"mu": np.array(["a", "b", "c"])}, "must be an .npz"),
        ({"count": "many"}, "whole number of at least 2, received 'many'"),
        ({"count": 2.5}, "received 2.5"),
        ({"count": 1}, "received 1"),
        ({"count": [50, 50]}, "must be an .npz"),
    ],
)
def test_what_is_no_mean_and_covariance_is_refused(wrong, message, tmp_path):
    right = {"mu": np.zeros(3), "sigma": np.eye(3), "count": 50, "extractor": "Test"}
    np.savez(tmp_path / "f.npz", **right)
    assert FeatureStatistics.load(tmp_path / "f.npz").count == 50
    np.savez(tmp_path / "f.npz", **right | wrong)
    with pytest.raises(ValueError, match=rf"f\.npz.*{message}"):
        FeatureStatistics.load(tmp_path / "f.npz")


CODE = """
import sys
import jax
import jaxtyping
jax.distributed.initialize(f"127.0.0.1:{sys.argv[1]}", 2, int(sys.argv[2]))
import numpy as np
from equildm.features import AlexNet, pool_features
from equildm.metrics import FeatureStatistics
from equildm.runtime import make_mesh
rows = np.random.default_rng(0).normal(1e3, 1.0, (60, 5))
mine = rows[:17] if jax.process_index() == 0 else rows[17:]
all = FeatureStatistics.of("Test", mine).across_processes()
union = FeatureStatistics.of("Test", rows)
assert all.count == 60
np.testing.assert_allclose(all.mean, union.mean, rtol=1e-14)
np.testing.assert_allclose(all.covariance, union.covariance, rtol=1e-9, atol=1e-11)

network, mesh = AlexNet(key=jax.random.key(0)), make_mesh("data=2", devices=jax.local_devices())
images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
two = pool_features(network, images, batch=2, mesh=mesh)
np.testing.assert_allclose(two, pool_features(network, images, batch=2), rtol=1e-5, atol=1e-6)
try:
    pool_features(network, images, batch=3, mesh=mesh)
except ValueError as error:
    assert "multiple of 2" in str(error)
else:
    raise AssertionError
print("ok", hash(all.scatter.tobytes() + all.mean.tobytes()))
"""


def test_across_two_processes():
    """Float64 throughout, the same bits in both; each divides its batches over two devices."""
    port = str(free_port())
    outputs = run_together(
        [["-c", CODE, port, str(rank)] for rank in range(2)],
        devices=2,
        env={"PYTHONHASHSEED": "0"},
    )
    last_lines = [out.splitlines()[-1] for out, _ in outputs]
    assert last_lines[0].startswith("ok") and last_lines[0] == last_lines[1]


def test_one_process_keeps_its_own(some):
    alone = some.across_processes()
    np.testing.assert_array_equal(alone.scatter, some.scatter)
    assert (alone.count, alone.extractor) == (some.count, some.extractor)
