"""Inception-v3 from files with random weights, against torch-fidelity."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from equildm.features import (
    InceptionV3,
    pooled,
    Resized,
    tf1_bilinear,
)
from equildm.interop import inception_table, load_inception

SHA = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


def random_file(path, classes):
    """The published layout; norms that shift and scale by different amounts."""
    template = eqx.filter_eval_shape(lambda: InceptionV3(key=jax.random.key(0)))
    leaves = jax.tree_util.tree_flatten_with_path(
        eqx.filter(template, lambda x: hasattr(x, "shape"))
    )[0]
    shapes = {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf.shape for path, leaf in leaves
    }
    rng, tensors = np.random.default_rng(0), {}
    for pair in inception_table():
        name = pair.theirs
        shape = pair.transform.write(np.broadcast_to(0, shapes[pair.ours])).shape
        shape = (classes, *shape[1:]) if name.startswith("fc.") else shape
        array = rng.standard_normal(shape, np.float32)
        if name.endswith(("bn.weight", "running_var")):
            array = np.exp(0.2 * array)
        elif len(shape) > 1:
            array *= np.float32(np.sqrt(2 / np.prod(shape[1:])))
        else:
            array *= np.float32(0.2)
        tensors[name] = array
        if name.endswith("running_var"):
            tensors[name.replace("running_var", "num_batches_tracked")] = np.array(7)
    save_file(tensors, path, {"source_sha256": SHA})
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return random_file(tmp_path_factory.mktemp("inception") / "inception.safetensors", 1008)


def error(ours, theirs):
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


@eqx.filter_jit
def everything(network, image):
    inner = network.extractor if isinstance(network, Resized) else network
    features = jnp.split(pooled(network, image, (0, 1, 2, 3)), np.cumsum(inner.channels)[:-1])
    return [*features, inner.logits(features[-1]), inner.head(features[-1])]


NAMES = ("64", "192", "768", "2048", "logits_unbiased", "logits")


def test_the_network_of_fid(peer, file):
    """From bytes of another size to every feature, the resize included."""
    image = np.random.default_rng(1).integers(0, 256, (90, 71, 3), dtype=np.uint8)
    theirs = peer("fidelity", {"what": "inception", "weights": str(file)}, images=image[None])
    network = Resized(load_inception(file), tf1_bilinear())
    ours = jax.device_get(everything(network, image / np.float32(127.5) - 1))
    for name, feature in zip(NAMES, ours, strict=True):
        print(f"{name}: {error(feature, theirs[name][0]):.1e}")
        assert error(feature, theirs[name][0]) < 1e-4
    assert np.std(theirs["2048"]) > 0.01 * np.abs(theirs["2048"]).mean()
    assert network.description == "Inception-2015, tf1-bilinear 299"


def test_torchvisions_network(peer, tmp_path):
    """The poolings, the classes and the range of the input are others."""
    path = random_file(tmp_path / "torchvision.safetensors", 1000)
    image = np.random.default_rng(1).integers(0, 256, (81, 96, 3), dtype=np.uint8)
    config = {"what": "inception", "weights": str(path), "torchvision": True}
    theirs = peer("fidelity", config, images=image[None])
    network = load_inception(path)
    assert network.name == "Inception"  # whatever its metadata say
    ours = jax.device_get(everything(network, image / np.float32(127.5) - 1))
    for name, feature in zip(NAMES, ours, strict=True):
        if name != "logits_unbiased":
            print(f"{name}: {error(feature, theirs[name][0]):.1e}")
            assert error(feature, theirs[name][0]) < 1e-4
    np.testing.assert_array_equal(ours[-1], ours[-2])  # no score leaves its bias out


def test_the_name_tells_what_is_known_of_the_weights(file, monkeypatch):
    monkeypatch.setattr("equildm.interop.inception.STANDARD", "0123")
    assert load_inception(file).name == "Inception"


def test_refuses_a_pickle_and_another_network(tmp_path):
    with pytest.raises(ValueError, match=r"is a pickle.*weights_only=True"):
        load_inception(tmp_path / "pt_inception-2015-12-05-6726825d.pth")
    save_file({"fc.weight": np.zeros((1008, 2048), np.float32)}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="missing 'Conv2d_1a_3x3"):
        load_inception(tmp_path / "x.safetensors")


def test_refuses_small_images(file):
    network = load_inception(file)
    with pytest.raises(ValueError, match=r"at least 75 pixels .* received shape \(74, 80, 3\)"):
        network(jnp.zeros((74, 80, 3)))
    shapes = jax.eval_shape(network, jnp.zeros((75, 75, 3)))
    assert tuple(shape.shape[-1] for shape in shapes) == network.channels
