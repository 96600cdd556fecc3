"""The Frechet distance against closed forms and scipy."""

import numpy as np
import pytest
import scipy.linalg

from equildm.metrics import FeatureStatistics, frechet_distance, frechet_name


def _exact(mean, covariance, count=100):
    """Statistics with exactly this mean and covariance."""
    return FeatureStatistics("Test", count, np.asarray(mean), np.asarray(covariance) * (count - 1))


def test_commuting_gaussians():
    """Diagonal covariances: `|m - n|^2 + sum (sqrt(a) - sqrt(b))^2`."""
    a = _exact([0.0, 0.0, 1.0], np.diag([1.0, 4.0, 0.0]))
    b = _exact([3.0, 4.0, 1.0], np.diag([9.0, 4.0, 25.0]))
    assert frechet_distance(a, b) == pytest.approx(25 + 4 + 0 + 25, rel=1e-12)
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-12)


def test_general_gaussians_agree_with_scipy():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, 6, 6))
    a = _exact(random.normal(size=6), x @ x.T)
    b = _exact(random.normal(size=6), y @ y.T)
    root = scipy.linalg.sqrtm(a.covariance @ b.covariance)
    expected = np.sum((a.mean - b.mean) ** 2) + np.trace(
        a.covariance + b.covariance - 2 * root.real
    )
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)


def test_fewer_samples_than_features():
    """Covariances of rank 9 in 64 dimensions: equal sets are at 0, shifted ones at the shift."""
    x = np.random.default_rng(0).normal(size=(10, 64)).astype(np.float32)
    a, b = FeatureStatistics.of("Test", x), FeatureStatistics.of("Test", x + 2.0)
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-9)
    assert frechet_distance(a, b) == pytest.approx(4.0 * 64, rel=1e-6)


def test_pieces_merge_to_the_whole():
    x = np.random.default_rng(0).normal(1e4, 1.0, size=(1000, 5))  # far from 0: cancellation
    union = FeatureStatistics.of("Test", x)
    np.testing.assert_allclose(union.covariance, np.cov(x.T), rtol=1e-9)
    pieces = [FeatureStatistics.of("Test", part) for part in np.split(x, [1, 17, 600])]
    merged = pieces[3].merge(pieces[1]).merge(pieces[0].merge(pieces[2]))
    assert merged.count == 1000
    np.testing.assert_allclose(merged.mean, union.mean, rtol=1e-13)
    np.testing.assert_allclose(merged.covariance, union.covariance, rtol=1e-9, atol=1e-12)


def test_samples_approach_the_closed_form():
    random = np.random.default_rng(0)
    a = FeatureStatistics.of("Test", random.normal(0, 1, (20000, 4)))
    b = FeatureStatistics.of("Test", random.normal(1, 2, (20000, 4)))
    assert frechet_distance(a, b) == pytest.approx(4 * (1 + 1), rel=0.03)


def test_is_named_by_its_extractor():
    assert frechet_name(_exact([0.0], [[1.0]])) == "Test-FID"


def test_refuses():
    a = _exact([0.0], [[1.0]])
    with pytest.raises(ValueError, match=r"received Test \(1,\) and Other \(1,\)"):
        frechet_distance(a, FeatureStatistics("Other", 9, a.mean, a.scatter))
    with pytest.raises(ValueError, match="at least 2 images, received 1"):
        frechet_distance(a, FeatureStatistics.of("Test", np.zeros((1, 1))))
    with pytest.raises(ValueError, match=r"shape \(0, 3\)"):
        FeatureStatistics.of("Test", np.zeros((0, 3)))
    with pytest.raises(ValueError, match="with 1 values that are not finite"):
        FeatureStatistics.of("Test", np.array([[0.0, np.nan]]))
