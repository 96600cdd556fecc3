"""A network that is told the resolution, and one whose variance is left out."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

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
TEXT = TextEmbedding(jnp.ones((3, 8)), jnp.array([True, True, False]))
SIZES = jnp.array([512.0, 768.0, 0.0, 64.0, 512.0, 640.0])
X = jax.random.normal(jax.random.key(1), (4, 4, 4))
T = jnp.float32(300)


@eqx.filter_jit
def called(network, *inputs):
    return network(*inputs)


@pytest.fixture(scope="module")
def network():
    """With random weights instead of the zeros that it starts from."""
    return jax.tree.map(lambda leaf: leaf + 0.1, CONFIG.build(key=jax.random.key(0)))


def test_embeds_height_width_and_their_ratio():
    """Of the image that is made, and each number by itself."""
    embedding = ResolutionEmbedding(24, width=8, key=jax.random.key(0))
    assert not embedding(SIZES).any()
    embedding = jax.tree.map(lambda leaf: leaf + 0.1, embedding)
    first, second, third = np.split(np.asarray(embedding(SIZES)), 3)
    np.testing.assert_allclose(first, embedding.resolution(jnp.float32(512)), rtol=1e-6)
    np.testing.assert_allclose(second, embedding.resolution(jnp.float32(640)), rtol=1e-6)
    np.testing.assert_allclose(third, embedding.aspect(jnp.float32(0.8)), rtol=1e-6)
    with pytest.raises(ValueError, match=r"3 must divide .* received 32\. Use .* of width 33"):
        ResolutionEmbedding(32, key=jax.random.key(0))


def test_begins_as_the_network_and_learns_the_resolution(network):
    fresh = CONFIG.build(key=jax.random.key(0))
    condition = SizeCondition(TEXT, SIZES)
    assert (called(fresh, X, T, condition) == called(fresh.network, X, T, TEXT)).all()
    one = called(network, X, T, condition)
    assert (one != called(network, X, T, SizeCondition(TEXT, SIZES.at[4].set(640.0)))).any()
    assert (one == called(network, X, T, SizeCondition(TEXT, SIZES.at[0].set(640.0)))).all()
    with pytest.raises(ValueError, match="Resolution and aspect ratio are embedded into a plain"):
        ResolutionConditioningConfig(CONFIG).build(key=jax.random.key(0))


def test_the_variance_is_left_out(network):
    config = WithoutVarianceConfig(CONFIG)
    condition = config.captioned(TEXT, 32, 48)
    assert condition.sizes.tolist() == [32, 48, 0, 0, 32, 48]
    whole = eqx.tree_at(lambda wrap: wrap.network, config.build(key=jax.random.key(0)), network)
    output = called(whole, X, T, condition)
    np.testing.assert_array_equal(output, called(network, X, T, condition)[..., :4])
    denoiser = config.denoiser(whole, ScaledLinear(), Epsilon())
    guided = config.guided(denoiser, 3.0)
    assert called(guided, X, jnp.float32(0.3), (condition, TEXT)).shape == X.shape
    plain = DiTConfig(24, 1, 2, context_width=8)
    wrong = WithoutVarianceConfig(plain).build(key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"twice the channels .*\(4, 4, 8\); received \(4, 4, 4\)"):
        called(wrong, X, T, TEXT)
