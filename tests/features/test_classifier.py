"""The small classifier: its taps, its file, and that two trainings are told apart."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import trees_equal

from equildm.features import AlexNet, Classifier, pool_features
from equildm.images import to_unit
from equildm.interop import load_classifier, save_classifier, save_safetensors
from equildm.interop.classifier import HEADER
from equildm.metrics import describe_features, FeatureStatistics, frechet_name

CLASSES = ("circle", "square", "star")
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)


def classifier(seed=0, **options):
    return Classifier("shapes", CLASSES, key=jax.random.key(seed), **options)


@pytest.mark.parametrize(("side", "sides"), [(32, [32, 16, 8, 4, 2]), (64, [64, 32, 16, 8, 4])])
def test_taps(side, sides):
    network = classifier()
    maps = eqx.filter_jit(network)(np.zeros((side, side, 3), np.float32))
    assert [m.shape[:2] for m in maps] == [(n, n) for n in sides]
    assert tuple(m.shape[-1] for m in maps) == network.channels == (32, 64, 64, 128, 128)
    assert all(np.all(np.asarray(m) >= 0) for m in maps)
    with pytest.raises(ValueError, match=r"shapes takes an RGB image of at least 16 pixels"):
        network(jnp.zeros((15, 32, 3)))


def test_logits_are_of_the_deepest_tap():
    @eqx.filter_jit
    def both(network, image):
        return network.logits(image), network.linear(jnp.mean(network(image)[-1], axis=(0, 1)))

    image = np.random.default_rng(1).uniform(-1, 1, (32, 32, 3)).astype(np.float32)
    logits, of_the_mean = both(classifier(), image)
    np.testing.assert_allclose(logits, of_the_mean, rtol=1e-5)
    assert logits.shape == (3,)


def test_features_keep_their_size_without_a_normalisation():
    maps = eqx.filter_jit(classifier())(to_unit(jnp.asarray(IMAGES[0])))
    first, *_, last = jax.device_get(maps)
    assert 0.3 < np.sqrt(np.mean(last**2) / np.mean(first**2)) < 5
    features = pool_features(classifier(), IMAGES, taps=(0, -1))
    assert features.shape == (5, 32 + 128) and np.isfinite(features).all()


def test_two_trainings_are_told_apart():
    networks = [classifier(0), classifier(0), classifier(1)]
    one, same, other = (describe_features(network, IMAGES.shape) for network in networks)
    assert one == same != other
    assert one == f"shapes, weights {networks[0].fingerprint}, 32 pixels"
    assert networks[0].name == networks[2].name == "shapes"
    statistics = FeatureStatistics.of(one, pool_features(networks[0], IMAGES))
    assert frechet_name(statistics) == "shapes-FID"
    with pytest.raises(ValueError, match="shapes, weights"):
        statistics.merge(FeatureStatistics.of(other, pool_features(networks[2], IMAGES)))
    moved = eqx.tree_at(lambda n: n.linear.bias, networks[0], networks[0].linear.bias + 1)
    assert moved.description != networks[0].description


def test_a_file_gives_the_same_network(tmp_path):
    path = tmp_path / "folder" / "classifier.safetensors"
    network = classifier(widths=(4, 8, 8, 16, 8))
    save_classifier(path, network)
    loaded = load_classifier(path)
    assert trees_equal(loaded, network)
    assert (loaded.name, loaded.classes, loaded.channels[-1]) == ("shapes", CLASSES, 8)
    assert loaded.description == network.description


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(ValueError, match="no safetensors file"):
        load_classifier(path)
    weight = AlexNet(key=jax.random.key(0)).convs[0].weight
    save_safetensors(path, {"weight": np.asarray(weight)})
    with pytest.raises(ValueError, match=r"x\.safetensors must hold a classifier.*describes none"):
        load_classifier(path)
    widths = '"widths": [4, 8, 8, 16, 8]}'
    for header in ("[", "[]", "{}", '{"name": "a", "classes": ["b"], ' + widths):
        save_safetensors(path, {"weight": np.asarray(weight)}, metadata={HEADER: header})
        with pytest.raises(ValueError, match=r"x\.safetensors must describe a classifier"):
            load_classifier(path)
    header = '{"name": "a", "classes": ["b", "c"], ' + widths
    save_safetensors(path, {"weight": np.asarray(weight)}, metadata={HEADER: header})
    with pytest.raises(ValueError, match=r"x\.safetensors does not fit: missing"):
        load_classifier(path)


@pytest.mark.parametrize(
    ("name", "classes", "widths", "rule"),
    [
        ("", CLASSES, (4,) * 5, "part of the names of scores, received ''"),
        ("a, b", CLASSES, (4,) * 5, "without a comma"),
        ("a", ("b",), (4,) * 5, "two classes or more apart"),
        ("a", ("b", "b"), (4,) * 5, "Give each class once"),
        ("a", CLASSES, (4,) * 4, "has 5 convolutions"),
        ("a", CLASSES, (4, 4, 4, 4, 0), "1 channel or more"),
    ],
)
def test_what_no_classifier_has_is_refused(name, classes, widths, rule):
    with pytest.raises(ValueError, match=rule):
        Classifier(name, classes, widths, key=jax.random.key(0))
