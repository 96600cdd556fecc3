"""A network that is told sizes, and the condition that carries them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import called, together, trees_equal
from small_models import moved_weights

from equildm import SizeCondition, TextEmbedding
from equildm.denoise import DiTConfig, preset, SizeConditioningConfig, SizeEmbedding
from equildm.denoise.size_conditioning import AbstractSizeConfig
from equildm.noise import Epsilon, ScaledLinear
from equildm.training import drop_caption

UNET = preset(16, context_width=8, groups=4, multipliers=(1,), depths=(1,),
              transformer_depths=(1,), heads=2)  # fmt: skip
CONFIG = SizeConditioningConfig(UNET, width=8)
TEXT, NULL = (
    TextEmbedding(*jax.device_put((np.full((3, 8), value, np.float32), np.array(shown))))
    for value, shown in ((1, [True, True, False]), (0, [True, False, False]))
)
SIZES = jax.device_put(np.float32([512, 768, 0, 64, 512, 640]))
X = np.random.default_rng(1).standard_normal((4, 4, 4), np.float32)


@pytest.fixture(scope="module")
def network():
    return CONFIG.build(key=jax.random.key(0))


def learned(network):
    shape = network.sizes.projection.weight.shape
    weight = np.random.default_rng(2).standard_normal(shape, np.float32)
    return eqx.tree_at(lambda n: n.sizes.projection.weight, network, weight)


def test_embedding_is_sdxls():
    """cos before sin, frequencies 10000^(-i / half), the six one after the other."""
    embedding = SizeEmbedding(48, width=8)
    weight = np.eye(48, dtype=np.float32)
    embedding = eqx.tree_at(lambda e: e.projection.weight, embedding, weight)
    angles = np.asarray(SIZES, np.float64)[:, None] * 1e4 ** (-np.arange(4) / 4)
    expected = np.concatenate([np.cos(angles), np.sin(angles)], axis=-1).reshape(-1)
    np.testing.assert_allclose(called(embedding, SIZES), expected, atol=1e-3)


def test_begins_as_the_network_and_learns_sizes(network):
    t = jnp.float32(300)

    def outputs(network, sizes):
        both = (network, X, t, SizeCondition(TEXT, sizes)), (network.network, X, t, TEXT)
        return map(np.asarray, together(*both))

    begun, plain = outputs(network, SIZES)
    np.testing.assert_array_equal(begun, plain)
    network = learned(network)
    sizes = jax.device_put(np.float32([512, 768, 0, 0, 512, 640]))
    (one, _), (other, _) = outputs(network, SIZES), outputs(network, sizes)
    assert (one != plain).any() and (one != other).any()


def test_dropping_the_caption_keeps_the_sizes():
    condition = SizeCondition(TEXT, SIZES)
    kept = drop_caption(jax.random.key(0), condition, NULL, 0.0)
    dropped = drop_caption(jax.random.key(0), condition, NULL, 1.0)
    assert trees_equal(kept, condition)
    assert trees_equal(dropped, SizeCondition(NULL, SIZES))


def test_guidance_leads_away_from_the_caption_alone():
    """Of a transformer, which compiles sooner than a UNet."""
    config = SizeConditioningConfig(DiTConfig(16, 1, 2, context_width=8), width=8)
    network = moved_weights(config.build(key=jax.random.key(0)), 0.1, np.random.default_rng(0))
    denoiser = config.denoiser(network, ScaledLinear(), Epsilon())
    condition = config.captioned(TEXT, 32, 48)
    np.testing.assert_array_equal(condition.sizes, [32, 48, 0, 0, 32, 48])
    guided = config.guided(denoiser, 3.0)
    s = jnp.float32(0.3)
    result = called(guided, X, s, (condition, NULL))
    with_text, without = (
        np.asarray(called(denoiser, X, s, SizeCondition(text, condition.sizes)))
        for text in (TEXT, NULL)
    )
    np.testing.assert_allclose(result, without + 3 * (with_text - without), atol=1e-4)
    batch = jax.tree.map(lambda leaf: jax.device_put(np.stack([leaf, leaf])), TEXT)
    assert config.captioned(batch, 32, 48).sizes.shape == (2, 6)
    with pytest.raises(ValueError, match="takes an SizeCondition"):
        super(AbstractSizeConfig, config).captioned(TEXT, 32, 48)


def test_only_a_plain_network_takes_them():
    with pytest.raises(ValueError, match="received a SizeConditioned"):
        SizeConditioningConfig(CONFIG).build(key=jax.random.key(0))
