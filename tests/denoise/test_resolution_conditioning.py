"""A network that is told the resolution, and one whose variance is left out."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import called, together

from equildm import SizeCondition, TextEmbedding
from equildm.denoise import (
    DiTConfig,
    ResolutionConditioningConfig,
    ResolutionEmbedding,
    WithoutVarianceConfig,
)
from equildm.noise import Epsilon, ScaledLinear

DIT = DiTConfig(24, 1, 2, out_channels=8, context_width=8, modulation="shared", cross_norm=False)
CONFIG = ResolutionConditioningConfig(DIT, width=8)
TEXT = TextEmbedding(*jax.device_put((np.ones((3, 8), np.float32), np.array([True, True, False]))))
SIZES = np.float32([512, 768, 0, 64, 512, 640])
X = np.random.default_rng(1).standard_normal((4, 4, 4), np.float32)
T = jnp.float32(300)


def moved(module):
    return jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf) + np.float32(0.1)), module)


def condition_of(sizes):
    return SizeCondition(TEXT, jax.device_put(np.float32(sizes)))


@pytest.fixture(scope="module")
def fresh():
    return CONFIG.build(key=jax.random.key(0))


@pytest.fixture(scope="module")
def network(fresh):
    """With random weights instead of the zeros that it starts from."""
    return moved(fresh)


def test_embeds_height_width_and_their_ratio():
    """Of the image that is made, and each number by itself."""
    embedding = ResolutionEmbedding(24, width=8, key=jax.random.key(0))
    assert not np.any(called(embedding, SIZES))
    embedding = moved(embedding)
    first, second, third = np.split(np.asarray(called(embedding, SIZES)), 3)
    height, width = (called(embedding.resolution, np.float32(side)) for side in (512, 640))
    np.testing.assert_allclose(first, height, rtol=1e-6)
    np.testing.assert_allclose(second, width, rtol=1e-6)
    np.testing.assert_allclose(third, called(embedding.aspect, np.float32(0.8)), rtol=1e-6)
    with pytest.raises(ValueError, match=r"3 must divide .* received 32\. Use .* of width 33"):
        ResolutionEmbedding(32, key=jax.random.key(0))


def test_begins_as_the_network_and_learns_the_resolution(fresh, network):

    def outputs(network, sizes):
        both = (network, X, T, condition_of(sizes)), (network.network, X, T, TEXT)
        return map(np.asarray, together(*both))

    begun, plain = outputs(fresh, SIZES)
    assert (begun == plain).all()
    one, _ = outputs(network, SIZES)
    wider, _ = outputs(network, [512, 768, 0, 64, 640, 640])
    assert (one != wider).any()
    from_higher, _ = outputs(network, [640, 768, 0, 64, 512, 640])
    assert (one == from_higher).all()
    with pytest.raises(ValueError, match="Resolution and aspect ratio are embedded into a plain"):
        ResolutionConditioningConfig(CONFIG).build(key=jax.random.key(0))


def test_the_variance_is_left_out(network):
    config = WithoutVarianceConfig(CONFIG)
    condition = config.captioned(TEXT, 32, 48)
    assert condition.sizes.tolist() == [32, 48, 0, 0, 32, 48]
    whole = eqx.tree_at(lambda wrap: wrap.network, config.build(key=jax.random.key(0)), network)
    denoiser = config.denoiser(whole, ScaledLinear(), Epsilon())
    guided = config.guided(denoiser, 3.0)
    output, with_variance = together((whole, X, T, condition), (network, X, T, condition))
    np.testing.assert_array_equal(output, np.asarray(with_variance)[..., :4])
    estimate = eqx.filter_eval_shape(guided, X, jnp.float32(0.3), (condition, TEXT))
    assert estimate.shape == X.shape
    plain = DiTConfig(24, 1, 2, context_width=8)
    wrong = WithoutVarianceConfig(plain).build(key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"twice the channels .*\(4, 4, 8\); received \(4, 4, 4\)"):
        called(wrong, X, T, TEXT)
