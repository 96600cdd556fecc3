"""SqueezeNet with its trained weights recognises the objects of drawn images."""

import jax
import jax.numpy as jnp
import pytest

from equildm.data import open_source
from equildm.features import antialiased_bicubic, pool_features, Resized, SqueezeNet
from equildm.interop import load_squeezenet
from equildm.metrics import inception_score
from equildm.runtime import count_parameters

IMAGENET = {"strawberry": 949, "lemon": 951, "broccoli": 937, "teapot": 849, "banana": 954}


@pytest.fixture(scope="module")
def network():
    return load_squeezenet()


def test_emoji_are_recognised(network):
    source = open_source("emoji")
    names = [source.caption(i) for i in range(len(source))]
    images = [source.image(names.index(name)) for name in IMAGENET]
    classifier = Resized(network, antialiased_bicubic(227))
    logits = pool_features(classifier, images, batch=len(images))
    ranks = [int((row > row[label]).sum()) for row, label in zip(logits, IMAGENET.values())]
    assert max(ranks) < 10 and sum(rank == 0 for rank in ranks) >= 3  # of 1000
    # Each image shows another object, and the classifier is never certain.
    assert 2 < inception_score(logits, splits=1).mean < len(IMAGENET)


def test_sizes(network):
    assert count_parameters(network) == 1_235_496  # as published
    maps = jax.eval_shape(network, jax.ShapeDtypeStruct((227, 227, 3), jnp.float32))
    assert tuple(m.shape[-1] for m in maps) == SqueezeNet.channels
    assert [m.shape[0] for m in maps] == [113, 56, 27, 13, 13]
    with pytest.raises(ValueError, match="at least 31 pixels a side"):
        network(jnp.zeros((30, 227, 3)))
