"""The jackknife of the Frechet distance: the distance itself, and how wide its interval is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equildm.features import AlexNet
from equildm.metrics import FeatureStatistics, frechet_distance
from equildm.study import (
    frechet_spread,
    FrechetReference,
    leave_out,
    leave_out_images,
    Reference,
    Scorer,
)

SIZE = 16


@pytest.fixture(scope="module")
def reference():
    real = np.random.default_rng(0).normal(size=(2000, SIZE))
    return FrechetReference(FeatureStatistics.of("x", real))


@pytest.mark.parametrize("count", [8, 100])  # fewer than features, and more
def test_the_distance_is_that_of_the_metrics(reference, count):
    features = np.random.default_rng(1).normal(0.2, 1.3, (count, SIZE))
    value, _ = frechet_spread(features, reference, leave_out(np.arange(count), 4))
    expected = frechet_distance(FeatureStatistics.of("x", features), reference.statistics)
    assert value == pytest.approx(expected, rel=1e-7)  # roots of eigenvalues that are 0


def test_a_set_without_a_group_is_the_distance_of_the_rest(reference):
    features = np.random.default_rng(2).normal(0.1, 1.0, (60, SIZE))
    weights = leave_out(np.arange(60), 5, seed=3)
    rest = features[weights[2] > 0]
    assert len(rest) == 48 and np.all(weights.sum(axis=0) == 4)
    (value,) = reference.distances(features, weights[2:3])
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


def test_images_of_one_caption_go_together():
    weights = leave_out(np.array([7, 9, 7, 9, 3]), 40)
    assert weights.shape == (3, 5)
    assert np.array_equal(weights[:, 0], weights[:, 2])
    with pytest.raises(ValueError, match="at least 2 groups"):
        leave_out(np.array([1, 1]), 40)


@pytest.mark.parametrize("captions", [[0, 1], [0, 0, 0, 1]])
def test_what_is_left_has_a_covariance(captions):
    with pytest.raises(ValueError, match=r"at least 2 images, received \d images in 2 groups"):
        leave_out(np.array(captions), 40)


@pytest.fixture(scope="module")
def make_scorer():
    """Makes one of 6 images of 3 captions; the features of either score are 5 numbers."""
    random = np.random.default_rng(6)
    vgg = AlexNet(key=jax.random.key(0))
    real = FeatureStatistics.of("AlexNet, 64 pixels", random.normal(size=(50, 5)))
    fitted = np.zeros(5), np.ones(5), random.normal(size=(5, 4))
    reference = Reference("real", real, *fitted, ("a", "b", "c"), np.eye(4)[:3])
    captions = ["a", "b", "c", "a", "b", "c"]
    return lambda groups: Scorer(reference, vgg, captions, groups=groups)


@pytest.fixture
def scorer(make_scorer):
    return make_scorer(40)


def test_with_fewer_captions_than_groups_the_groups_are_of_images(make_scorer):
    """No set lacks a caption, unless captions are enough for the groups."""
    features = np.abs(np.random.default_rng(8).normal(size=(6, 5)))
    kinds = set()
    for groups, sets, about in [
        (2, 2, "2 groups, seed 0"),
        (3, 3, "3 groups, seed 0"),
        (4, 4, "4 groups of images, seed 0"),
        (40, 6, "6 groups of images, seed 0"),
    ]:
        scores = make_scorer(groups).scores(features, features)
        assert len(scores.fid_spread) == sets and scores.reference.endswith(f", {about}")
        kinds.add(scores.reference)
    assert len(kinds) == 4
    captions = np.array([0, 1, 2, 0, 1, 2])
    for sets in (leave_out(captions, 3), leave_out_images(captions, 4)):
        own = make_scorer(len(sets))
        _, spread = frechet_spread(features, FrechetReference(own.reference.statistics), sets)
        assert own.scores(features, features).fid_spread == pytest.approx(spread)


def test_groups_of_images_have_an_equal_share_of_each_caption():
    captions = np.random.default_rng(0).integers(0, 10, 1000)
    lacking = leave_out_images(captions, 40) == 0
    np.testing.assert_array_equal(lacking.sum(axis=0), 1)
    shares = np.stack([np.bincount(captions[row], minlength=10) for row in lacking])
    assert np.ptp(shares, axis=0).max() <= 1
    assert (leave_out_images(captions, 40, seed=1) != leave_out_images(captions, 40)).any()


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_model_that_diverged_is_infinitely_far(scorer, broken):
    """One row of the table, not the end of the sweep."""
    features = np.abs(np.random.default_rng(7).normal(size=(6, 5)))
    assert np.isfinite(scorer.scores(features, features).fid)
    features[2] = broken
    scores = scorer.scores(features, features)
    assert scores.fid == np.inf and scores.fid_spread == (0.0,) * 6
    assert np.isnan([scores.match, scores.match_low, scores.match_high]).all()


def test_a_reference_of_other_images_is_refused(scorer):
    with pytest.raises(ValueError, match=r"is of 'AlexNet, 64 pixels', received .* 32 pixels"):
        scorer.on_device(jnp.zeros((1, 32, 32, 3)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"captions": "3"},
        {"captions": "["},
        {"count": 2.5},
        {"count": "many"},
        {"real_mean": np.zeros((5, 1))},
        {"real_scatter": np.full((5, 5), np.nan)},
        {"weight": np.array(["x"])},
        None,
        "npy",
        "empty",
        "cut",
    ],
)
def test_a_file_that_is_no_reference_is_named(scorer, wrong, tmp_path):
    path = tmp_path / "reference.npz"
    with pytest.raises(FileNotFoundError):
        Reference.load(path)
    scorer.reference.save(path)
    assert Reference.load(path).captions == ("a", "b", "c")
    with np.load(path) as file:
        content = dict(file)
    if isinstance(wrong, dict):
        np.savez(path, **content | wrong)
    elif wrong is None:
        np.savez(path, **{name: content[name] for name in content if name != "vectors"})
    elif wrong == "npy":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        path.write_bytes(b"" if wrong == "empty" else path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"reference\.npz"):
        Reference.load(path)
