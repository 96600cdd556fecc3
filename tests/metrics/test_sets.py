"""KID, precision and recall, Inception score: public implementation and float64 transcriptions."""

import jax
import jaxtyping
import numpy as np
import pytest

from equildm.features import AlexNet
from equildm.metrics import (
    check_enough,
    compare_sets,
    FeatureStatistics,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall,
    Score,
    score_name,
)


@pytest.fixture(scope="module")
def sets():
    """Two clouds that overlap in part, with the sizes and the sign of pooled features."""
    random = np.random.default_rng(0)
    mix = random.normal(size=(24, 24)) / 5
    a = np.abs(random.normal(0.3, 1.0, (150, 24)) @ mix)
    b = np.abs(random.normal(0.0, 0.8, (130, 24)) @ mix)
    return a.astype(np.float32), b.astype(np.float32)


def by_hand(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    kernel = lambda x, y: (x @ y.T / x.shape[1] + 1) ** 3
    m, n = len(a), len(b)
    same = [(kernel(x, x).sum() - np.trace(kernel(x, x))) / (len(x) * (len(x) - 1)) for x in (a, b)]
    return sum(same) - 2 * kernel(a, b).sum() / (m * n)


def test_frechet_equals_torch_fidelity(peer, sets):
    a, b = sets
    theirs = peer("fidelity", {"what": "fid"}, a=a.astype(np.float64), b=b.astype(np.float64))
    ours = frechet_distance(*(FeatureStatistics.of("Test", x) for x in sets))
    error = ours / float(theirs["frechet_inception_distance"]) - 1
    print(f"FID {ours}: relative error {error:.1e}")
    assert abs(error) < 1e-9


def test_kid_of_one_subset_is_everything(peer, sets):
    """Then nothing is drawn, and libraries with other generators must agree."""
    a, b = sets[0][:130], sets[1]
    config = {"what": "kid", "kid_subsets": 2, "kid_subset_size": 130}
    theirs = peer("fidelity", config, a=a.astype(np.float64), b=b.astype(np.float64))
    ours = kernel_distance(a, b, subsets=2, size=130)
    error = ours.mean / float(theirs["kernel_inception_distance_mean"]) - 1
    print(f"KID {ours.mean}: relative error {error:.1e}")
    assert abs(error) < 1e-9 and ours.deviation < 1e-12
    assert ours.mean == pytest.approx(by_hand(a, b), rel=1e-9)


def test_kid_draws_subsets_from_its_seed(sets):
    a, b = sets
    out = kernel_distance(a, b, subsets=20, size=40, seed=3)
    random, values = np.random.default_rng(3), []
    for _ in range(20):
        rows = random.choice(150, 40, replace=False), random.choice(130, 40, replace=False)
        values.append(by_hand(a[rows[0]], b[rows[1]]))
    assert out.mean == pytest.approx(np.mean(values), rel=1e-9)
    assert out.deviation == pytest.approx(np.std(values), rel=1e-9)
    assert out.standard_error == pytest.approx(np.std(values) / 20**0.5, rel=1e-9)
    assert kernel_distance(a, b, subsets=20, size=40, seed=4) != out


def test_kid_is_unbiased():
    """Of one distribution: 0 within the error, where a biased estimate is 20 errors off."""
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 4000, 8))
    out = kernel_distance(a, b, subsets=100, size=50)
    assert abs(out.mean) < 4 * out.standard_error
    assert not jax.config.jax_enable_x64  # float64 was borrowed


@pytest.mark.parametrize("block", [4096, 64, 7])
def test_precision_and_recall_equal_torch_fidelity(peer, sets, block):
    """In one block or in many, of which the last are not full."""
    a, b = sets
    config = {"what": "prc", "prc_neighborhood": 3, "prc_batch_size": 1000, "save_cpu_ram": True}
    theirs = peer("fidelity", config, a=a.astype(np.float64), b=b.astype(np.float64))
    ours = precision_recall(a, b, block=block)
    print(ours, {name: float(value) for name, value in theirs.items()})
    assert ours.precision == pytest.approx(float(theirs["precision"]), abs=1e-6)
    assert ours.recall == pytest.approx(float(theirs["recall"]), abs=1e-6)
    assert 0.1 < ours.precision < 0.9 and 0.1 < ours.recall < 1.0


def test_density_and_coverage_are_the_formulas(sets):
    """Naeem et al. 2020, equations 3 and 4."""
    generated, real = sets[0].astype(np.float64), sets[1].astype(np.float64)
    distance = lambda x, y: np.linalg.norm(x[:, None] - y, axis=-1)
    radii = np.sort(distance(real, real), axis=1)[:, 5]
    inside = distance(generated, real) <= radii
    out = precision_recall(*sets, neighbours=5, block=50)
    assert out.density == pytest.approx(inside.sum() / (5 * len(generated)))
    assert out.coverage == pytest.approx(inside.any(axis=0).mean())


@pytest.mark.parametrize("width", [1, 5])
def test_what_lies_on_the_border_is_inside(width):
    """Whole numbers, of which many are as far as the k-th nearest; in integers that is exact."""
    out = precision_recall(
        np.array([[-1.0], [5.0], [9.0]]), np.array([[0.0], [1.0], [3.0]]), neighbours=1
    )
    assert out.precision == pytest.approx(2 / 3)
    random = np.random.default_rng(0)
    distance = lambda x, y: np.sum((x[:, None] - y) ** 2, axis=-1)
    for _ in range(20):
        generated, real = random.integers(0, 12, (2, 23, width)) + random.integers(1000)
        balls = [np.sort(distance(x, x), axis=1)[:, 2] for x in (real, generated)]
        inside, counts = (
            distance(generated, real) <= balls[0],
            distance(real, generated) <= balls[1],
        )
        out = precision_recall(generated.astype(float), real.astype(float), neighbours=2)
        expected = (inside.any(1).mean(), counts.any(1).mean(), inside.sum() / 46)
        assert out == pytest.approx((*expected, inside.any(0).mean()))


def test_precision_and_recall_of_plain_cases():
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 4)) + 1e4
    assert precision_recall(x, x[::-1].copy()) == (1.0, 1.0, pytest.approx(1.0, abs=0.4), 1.0)
    assert precision_recall(x, x + 100) == (0.0, 0.0, 0.0, 0.0)
    some = np.repeat(x[:3], 20, axis=0)  # three modes alone: precise, and most is missing
    modes = precision_recall(some, x)
    assert modes.precision == 1.0 and modes.recall == pytest.approx(3 / 60)


def test_inception_score_equals_torch_fidelity(peer):
    logits = np.random.default_rng(0).normal(0, 2, (53, 11)).astype(np.float32)
    theirs = peer("fidelity", {"what": "is", "splits": 5}, logits=logits)
    ours = inception_score(logits, splits=5)
    assert ours.mean == pytest.approx(float(theirs["inception_score_mean"]), rel=1e-9)
    assert ours.deviation == pytest.approx(float(theirs["inception_score_std"]), rel=1e-7)
    assert inception_score(logits, splits=5, seed=0) != ours


def test_inception_score_of_plain_cases():
    """Every class once and certain: as many as classes. All alike: 1."""
    assert inception_score(1e3 * np.eye(7), splits=1).mean == pytest.approx(7)
    assert inception_score(np.ones((20, 7)), splits=2) == (pytest.approx(1), pytest.approx(0))


def test_refuse(sets, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    a, b = sets
    with pytest.raises(ValueError, match=r"2 to 130 images .* subsets=100 and size=1000"):
        kernel_distance(a, b)
    with pytest.raises(ValueError, match=r"received shapes \(150, 24\) and \(130, 23\)"):
        precision_recall(a, b[:, 1:])
    with pytest.raises(ValueError, match=r"at least 4 images each"):
        precision_recall(a[:3], b)
    with pytest.raises(ValueError, match=r"two images a split, received .* and splits=76"):
        inception_score(a, splits=76)


def test_the_inception_score_of_ten_images_is_refused():
    """It would be 1 whatever they show: each of the ten splits has one."""
    images = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 3), dtype=np.uint8)
    network = AlexNet(key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"is takes at least 100 images, received 10\. Raise"):
        compare_sets(("is",), images, images, network)
    with pytest.raises(ValueError, match=r"two images a split, .* splits=10"):
        inception_score(np.eye(10), splits=10)
    check_enough(("is", "fid"), 100)


def test_names_are_plain_for_the_standard_network_alone():
    standard = "Inception-2015, tf1-bilinear 299"
    assert score_name("FID", standard) == "FID" and score_name("IS", standard) == "IS"
    assert score_name("FID", "Inception-2015, antialiased-bicubic 299") == "clean-FID"
    for other in ("Inception-2015", "Inception-2015, tf1-bilinear 128"):
        assert score_name("KID", other) == "Inception-2015-KID"
    assert score_name("FID", "VGG16, tf1-bilinear 299") == "VGG16-FID"
    assert score_name("precision", standard) == "Inception-2015-precision"


def test_a_score_says_what_it_is():
    score = Score(
        name="VGG16-KID",
        value=0.0123456,
        spread=0.001,
        spread_of="standard error",
        extractor="VGG16",
        count=100,
        reference="real images",
        reference_count=200,
        seed=0,
        settings={"subsets": 10},
    )
    assert str(score) == (
        "VGG16-KID 0.0123 +- 0.0010 (standard error) from 100 images to 200 real images; VGG16, "
        "subsets 10, seed 0"
    )
    assert score.as_dict()["seed"] == 0
    assert set(Score(name="a", value=1.0, extractor="b", count=3).as_dict()) == {
        *("name", "value", "extractor", "count")
    }
