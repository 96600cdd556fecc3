"""A network that is told sizes, and the condition that carries them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equildm import SizeCondition, TextEmbedding
from equildm.denoise import preset, SizeConditioningConfig, SizeEmbedding
from equildm.denoise.size_conditioning import AbstractSizeConfig
from equildm.noise import Epsilon, ScaledLinear
from equildm.training import drop_caption

UNET = preset(16, context_width=8, groups=4, multipliers=(1,), depths=(1,),
              transformer_depths=(1,), heads=2)  # fmt: skip
CONFIG = SizeConditioningConfig(UNET, width=8)
TEXT = TextEmbedding(jnp.ones((3, 8)), jnp.array([True, True, False]))
NULL = TextEmbedding(jnp.zeros((3, 8)), jnp.array([True, False, False]))
SIZES = jnp.array([512.0, 768.0, 0.0, 64.0, 512.0, 640.0])
X = jax.random.normal(jax.random.key(1), (4, 4, 4))


@eqx.filter_jit
def called(network, *inputs):
    return network(*inputs)


@pytest.fixture(scope="module")
def network():
    return CONFIG.build(key=jax.random.key(0))


def learned(network):
    shape = network.sizes.projection.weight.shape
    weight = jax.random.normal(jax.random.key(2), shape)
    return eqx.tree_at(lambda n: n.sizes.projection.weight, network, weight)


def test_embedding_is_sdxls():
    """cos before sin, frequencies 10000^(-i / half), the six one after the other."""
    embedding = SizeEmbedding(48, width=8)
    weight = jnp.eye(48)
    embedding = eqx.tree_at(lambda e: e.projection.weight, embedding, weight)
    angles = np.asarray(SIZES, np.float64)[:, None] * 1e4 ** (-np.arange(4) / 4)
    expected = np.concatenate([np.cos(angles), np.sin(angles)], axis=-1).reshape(-1)
    np.testing.assert_allclose(embedding(SIZES), expected, atol=1e-3)


def test_begins_as_the_network_and_learns_sizes(network):
    t = jnp.float32(300)
    plain = called(network.network, X, t, TEXT)
    np.testing.assert_array_equal(called(network, X, t, SizeCondition(TEXT, SIZES)), plain)
    network = learned(network)
    one = called(network, X, t, SizeCondition(TEXT, SIZES))
    other = called(network, X, t, SizeCondition(TEXT, SIZES.at[3].set(0.0)))
    assert (one != plain).any() and (one != other).any()


def test_dropping_the_caption_keeps_the_sizes():
    condition = SizeCondition(TEXT, SIZES)
    kept = drop_caption(jax.random.key(0), condition, NULL, 0.0)
    dropped = drop_caption(jax.random.key(0), condition, NULL, 1.0)
    assert eqx.tree_equal(kept, condition)
    assert eqx.tree_equal(dropped, SizeCondition(NULL, SIZES))


def test_guidance_leads_away_from_the_caption_alone(network):
    network = learned(network)

    denoiser = CONFIG.denoiser(network, ScaledLinear(), Epsilon())
    condition = CONFIG.captioned(TEXT, 32, 48)
    np.testing.assert_array_equal(condition.sizes, [32, 48, 0, 0, 32, 48])
    guided = CONFIG.guided(denoiser, 3.0)
    result = called(guided, X, jnp.float32(0.3), (condition, NULL))
    with_text, without = (
        called(denoiser, X, jnp.float32(0.3), SizeCondition(text, condition.sizes))
        for text in (TEXT, NULL)
    )
    np.testing.assert_allclose(result, without + 3 * (with_text - without), atol=1e-4)
    batch = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), TEXT)
    assert CONFIG.captioned(batch, 32, 48).sizes.shape == (2, 6)
    with pytest.raises(ValueError, match="takes an SizeCondition"):
        super(AbstractSizeConfig, CONFIG).captioned(TEXT, 32, 48)


def test_only_a_plain_network_takes_them():
    with pytest.raises(ValueError, match="received a SizeConditioned"):
        SizeConditioningConfig(CONFIG).build(key=jax.random.key(0))
