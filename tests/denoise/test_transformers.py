"""Diffusion transformers: their sizes, their loop over blocks, and the wraps around them."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import called, others_slow
from paper_sizes import PARAMETERS
from small_models import moved_weights

from equildm import ImageCondition, SizeCondition, TextEmbedding
from equildm.denoise import (
    AbstractNetworkConfig,
    BACKBONES,
    ConcatConfig,
    dit_preset,
    DIT_SIZES,
    DiTConfig,
    GuidanceEmbeddingConfig,
    mmdit_preset,
    MMDIT_SIZES,
    MMDiTConfig,
    network_shapes,
    SizeConditioningConfig,
    widen_input,
)
from equildm.distill import ConsistencyConfig
from equildm.nn import merge_lora, new_lora, with_lora_layers
from equildm.noise import FlowVelocity, RectifiedFlow, ScaledLinear, Velocity
from equildm.runtime import count_flops, count_parameters, from_json, to_json

DIT = DiTConfig(16, 2, 2, in_channels=3, out_channels=3, context_width=5)
PIXART = dataclasses.replace(
    DIT, modulation="shared", cross_norm=False, positions="rotary", qk_norm=True
)
MMDIT = MMDiTConfig(
    16, 3, 2, in_channels=3, out_channels=3, context_width=5, qk_norm=True, dual_depth=1,
    feed_forward="swiglu", pooled_width=7,
)  # fmt: skip
CONFIGS = {"dit": DIT, "pixart": PIXART, "mmdit": MMDIT}
X = jax.device_put(np.random.default_rng(0).standard_normal((4, 6, 3)).astype(np.float32))
T = jax.device_put(np.float32(300))


def built(config):
    """A network none of whose weights is zero, so that every part has an effect."""
    network = config.build(key=jax.random.key(0))
    return moved_weights(network, 0.1, np.random.default_rng(1))


def text_for(config, seed=0):
    random = np.random.default_rng(seed)
    draw = lambda *shape: jax.device_put(random.standard_normal(shape).astype(np.float32))
    pooled = None if config.pooled_width is None else draw(7)
    return TextEmbedding(draw(4, 5), jax.device_put(np.array([True, True, True, False])), pooled)


@pytest.fixture(scope="module")
def dit():
    return built(DIT)


@pytest.mark.parametrize("size", DIT_SIZES)
def test_families_have_the_parameters_of_the_unets(size):
    for make, sizes in ((dit_preset, DIT_SIZES), (mmdit_preset, MMDIT_SIZES)):
        width, depth, heads = sizes[size]
        # Blocks are alike, so that the count is linear in the depth: two depths tell every one.
        few, more = (
            count_parameters(network_shapes(make(size, depth=n))) for n in (3, 4)
        )  # fmt: skip
        total = few + (depth - 3) * (more - few)
        assert total / 1e6 == pytest.approx(PARAMETERS[size], rel=0.03)
        assert width // heads == (128 if size in ("2B", "5B") else 64)


def test_dits_own_sizes_have_the_published_parameters():
    """Table 1, less the embedding of 1000 classes and the table of positions."""
    published = {"S/2": 32.48, "B/2": 129.55, "L/2": 456.82, "XL/2": 673.68}
    for size, millions in published.items():
        config = dit_preset(size, cross_attention=False, out_channels=8)
        assert round(count_parameters(network_shapes(config)) / 1e6, 2) == millions
        assert not config.qk_norm
    forward = lambda network, *inputs: network(*inputs)
    config = dit_preset("XL/2", cross_attention=False, out_channels=8)
    text = TextEmbedding(jnp.zeros((1, 1024)), jnp.ones(1, bool))
    inputs = jnp.zeros((32, 32, 4)), jnp.zeros(()), text
    flops = count_flops(forward, network_shapes(config), *inputs).total
    assert flops / 2e9 == pytest.approx(118.6, rel=0.01)  # its "Gflops" are multiply-adds


@pytest.mark.parametrize("kind", others_slow(CONFIGS, "dit"))
def test_scanned_blocks_are_the_blocks_written_out(kind):
    config = CONFIGS[kind]
    scanned, unrolled = built(config), built(dataclasses.replace(config, scan=False))
    text = text_for(config)
    loss = eqx.filter_jit(
        eqx.filter_value_and_grad(lambda network, x: jnp.sum(network(x, T, text) ** 2))
    )
    ours, theirs = jax.device_get((loss(scanned, X), loss(unrolled, X)))
    (value, gradient), (other, other_gradient) = ours, theirs
    np.testing.assert_allclose(value, other, rtol=1e-5)
    other_leaves = jax.tree.leaves(other_gradient)
    largest = max(np.abs(leaf).max() for leaf in other_leaves)
    paths = jax.tree_util.tree_leaves_with_path(gradient)
    for (path, one), two in zip(paths, other_leaves, strict=True):
        if kind == "dit" and "to_key.bias" in jax.tree_util.keystr(path):
            # Without a norm of the keys softmax does not depend on it: its gradient is rounding.
            assert max(np.abs(leaf).max() for leaf in (one, two)) < 1e-8 * largest
            continue
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-4 * np.abs(two).max())


@pytest.mark.parametrize("kind", others_slow(CONFIGS, "mmdit"))
def test_every_input_counts_and_padding_does_not(kind):
    config = CONFIGS[kind]
    network, text = built(config), text_for(config)
    output = lambda *inputs: np.asarray(called(network, *inputs))
    plain = output(X, T, text)
    assert plain.shape == X.shape and plain.dtype == X.dtype
    half = output(np.asarray(X).astype(jnp.bfloat16), T, text)
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(half.astype(np.float32), plain, atol=0.1)

    def moved_token(i):
        tokens = np.array(text.tokens)
        tokens[i] += 1
        return dataclasses.replace(text, tokens=jax.device_put(tokens))

    np.testing.assert_array_equal(output(X, T, moved_token(3)), plain)
    turned = output(np.asarray(X)[::-1], T, text)
    others = [turned, output(X, np.asarray(T) + 1, text), output(X, T, moved_token(2))]
    if text.pooled is not None:
        pooled = jax.device_put(np.asarray(text.pooled) + 1)
        others.append(output(X, T, dataclasses.replace(text, pooled=pooled)))
    for other in others:
        assert np.abs(other - plain).max() > 1e-4
    # Patches know where they are.
    assert not np.allclose(turned, plain[::-1], atol=1e-4)


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_fresh_network_is_the_identity_of_its_stream(kind):
    network = CONFIGS[kind].build(key=jax.random.key(0))
    text = text_for(CONFIGS[kind])
    np.testing.assert_array_equal(called(network, X, T, text), jnp.zeros_like(X))


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_config_survives_its_file(kind):
    config = CONFIGS[kind]
    assert from_json(AbstractNetworkConfig, to_json(config)) == config
    assert (config.multiple, config.backbone) == (2, config)


def test_names_of_sizes():
    assert set(BACKBONES) == {"unet", "dit", "mmdit"}
    assert BACKBONES["dit"]("39M", context_width=8).context_width == 8
    for make in (dit_preset, mmdit_preset):
        with pytest.raises(ValueError, match="is one of quick, tiny, mini, small, 39M"):
            make("64")


@pytest.mark.parametrize(
    "x, text, message",
    [
        (X[..., :2], text_for(DIT), "latents of 3 channels"),
        (X[:3], text_for(DIT), "patches of 2x2"),
        (X, TextEmbedding(jnp.zeros((2, 4)), jnp.ones(2, bool)), "embeddings of width 5"),
        (X, text_for(MMDIT), "received one"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(dit, x, text, message):
    with pytest.raises(ValueError, match=message):
        eqx.filter_eval_shape(dit, x, T, text)


@pytest.mark.parametrize("config", [DIT, MMDIT], ids=["dit", "mmdit"])
def test_guidance_is_embedded(config):
    wrap = GuidanceEmbeddingConfig(config, width=8)
    network, text = wrap.build(key=jax.random.key(0)), text_for(config)
    network = eqx.tree_at(lambda n: n.network, network, built(config))
    plain = called(network.network, X, T, text)
    np.testing.assert_array_equal(called(network, X, T, (text, jnp.float32(3))), plain)
    network = moved_weights(network, 0.1, np.random.default_rng(3))
    three, four = (np.asarray(called(network, X, T, (text, jnp.float32(w)))) for w in (3.0, 4.0))
    assert np.abs(three - four).max() > 1e-4
    denoiser = wrap.guided(wrap.denoiser(network, ScaledLinear(), Velocity()), 3.0)
    assert wrap.branches(3.0) == 1 and denoiser is not None


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dit", "mmdit"])
def test_a_widened_input_begins_as_the_network_that_it_was(kind):
    config = CONFIGS[kind]
    network, text = built(config), text_for(config)
    wide = widen_input(network, 2)
    condition = ImageCondition(text, 3 + X[..., :2], jnp.float32(77))
    np.testing.assert_allclose(
        called(wide, X, T, condition), called(network, X, T, text), atol=1e-5
    )
    gradient = eqx.filter_jit(
        eqx.filter_grad(lambda network: jnp.sum(network(X, T, condition) ** 2))
    )(wide)
    new = gradient.network.embed.projection.weight.reshape(4, 5, -1)[:, 3:]
    assert float(jnp.abs(new).max()) > 1e-4 and float(jnp.abs(gradient.projection.weight).max()) > 0
    shapes = network_shapes(ConcatConfig(config, channels=2))
    assert shapes.network.embed.in_channels == 5


def test_sizes_are_embedded():
    wrap = SizeConditioningConfig(DIT, width=8)
    network = eqx.tree_at(lambda n: n.network, wrap.build(key=jax.random.key(0)), built(DIT))
    text = text_for(DIT)
    condition = wrap.captioned(text, 32, 48)
    np.testing.assert_array_equal(
        called(network, X, T, condition), called(network.network, X, T, text)
    )
    network = moved_weights(network, 0.1, np.random.default_rng(3))
    sizes = np.array(condition.sizes)
    sizes[3] = 9
    other = called(network, X, T, SizeCondition(text, jax.device_put(sizes)))
    assert np.abs(np.asarray(called(network, X, T, condition)) - other).max() > 1e-4


def test_a_consistency_function_keeps_the_cleanest_latent(dit):
    schedule = ScaledLinear()
    denoiser = ConsistencyConfig(DIT, "level").denoiser(dit, schedule, Velocity())
    text, y = text_for(DIT), X
    flow = DIT.denoiser(dit, RectifiedFlow(), FlowVelocity())

    @eqx.filter_jit
    def estimates(denoiser, flow):
        return denoiser(y, jnp.float32(schedule.lowest), text), flow(y, jnp.float32(0.7), text)

    cleanest, of_flow = estimates(denoiser, flow)
    np.testing.assert_allclose(cleanest, y, atol=1e-5)
    assert np.isfinite(of_flow).all()


def test_adapters_of_stacked_blocks(dit):
    text = text_for(DIT)
    adapters = new_lora(dit, rank=2, key=jax.random.key(1))
    assert set(adapters) == {
        f"blocks.stacked.{kind}_attention.to_{part}"
        for kind in ("self", "cross")
        for part in ("query", "key", "value", "out")
    }
    name = "blocks.stacked.self_attention.to_query"
    first = adapters[name]
    assert first.down.shape == (2, 16, 2) and first.up.shape == (2, 2, 16)
    plain = called(dit, X, T, text)
    np.testing.assert_allclose(
        called(with_lora_layers(dit, adapters), X, T, text), plain, atol=1e-6
    )
    adapters = moved_weights(adapters, 0.3, np.random.default_rng(2))
    wrapped = called(with_lora_layers(dit, adapters, 0.7), X, T, text)
    assert np.abs(np.asarray(wrapped) - plain).max() > 1e-3
    merged = merge_lora(dit, adapters, 0.7)
    np.testing.assert_allclose(called(merged, X, T, text), wrapped, atol=1e-4)
    first, dit, merged = jax.device_get((adapters[name], dit, merged))  # numpy compiles nothing
    single, start = (part.blocks[1].self_attention.to_query.weight for part in (merged, dit))
    np.testing.assert_allclose(single, start + 0.7 * first.down[1] @ first.up[1], atol=1e-5)
