"""The jackknife of the Frechet distance: the distance itself, and how wide its interval is."""

import numpy as np
import pytest

from equildm.metrics import FeatureStatistics, frechet_distance
from equildm.study import frechet_spread, FrechetReference, leave_out

SIZE = 16


@pytest.fixture(scope="module")
def reference():
    real = np.random.default_rng(0).normal(size=(2000, SIZE))
    return FrechetReference(FeatureStatistics.of("x", real))


@pytest.mark.parametrize("count", [8, 100])  # fewer than features, and more
def test_the_distance_is_that_of_the_metrics(reference, count):
    made = np.random.default_rng(1).normal(0.2, 1.3, (count, SIZE))
    value, _ = frechet_spread(made, reference, leave_out(np.arange(count), 4))
    expected = frechet_distance(FeatureStatistics.of("x", made), reference.statistics)
    assert value == pytest.approx(expected, rel=1e-7)  # roots of eigenvalues that are 0


def test_a_set_without_a_group_is_the_distance_of_the_rest(reference):
    made = np.random.default_rng(2).normal(0.1, 1.0, (60, SIZE))
    weights = leave_out(np.arange(60), 5, seed=3)
    rest = made[weights[2] > 0]
    assert len(rest) == 48 and np.all(weights.sum(axis=0) == 4)
    (value,) = reference.distances(made, weights[2:3])
    expected = frechet_distance(FeatureStatistics.of("x", rest), reference.statistics)
    assert value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("count", [24, 200])
def test_the_deviations_give_the_spread_of_repeated_experiments(reference, count):
    random = np.random.default_rng(4)
    mix = random.normal(size=(SIZE, SIZE))
    weights = leave_out(np.arange(count), 24)
    values, errors = [], []
    for _ in range(200):
        value, deviations = frechet_spread(
            random.normal(size=(count, SIZE)) @ mix, reference, weights
        )
        values.append(value)
        errors.append(np.sqrt(np.mean(deviations**2)))
    values, errors = np.array(values), np.array(errors)
    assert 0.85 < np.mean(errors) / values.std() < 1.2
    assert 0.88 < np.mean(np.abs(values - values.mean()) < 1.96 * errors) <= 0.99


def test_differences_of_models_on_the_same_captions_are_more_certain(reference):
    """The captions' own difficulty cancels."""
    random = np.random.default_rng(5)
    weights = leave_out(np.arange(100), 20)
    ratios = []
    for _ in range(20):
        common = random.normal(size=(100, SIZE)) * 1.5
        a, b = (common + 0.1 * random.normal(size=(100, SIZE)) + shift for shift in (0.0, 0.3))
        (_, da), (_, db) = (frechet_spread(x, reference, weights) for x in (a, b))
        ratios.append(np.std(da - db) / np.hypot(np.std(da), np.std(db)))
    assert np.mean(ratios) < 0.5


def test_pictures_of_one_caption_go_together():
    weights = leave_out(np.array([7, 9, 7, 9, 3]), 40)
    assert weights.shape == (3, 5)
    assert np.array_equal(weights[:, 0], weights[:, 2])
    with pytest.raises(ValueError, match="at least 2 groups"):
        leave_out(np.array([1, 1]), 40)
