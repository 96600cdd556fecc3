"""Low-rank adapters: wrapped and merged are one, and they start as nothing."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import called

from equildm._types import TextEmbedding
from equildm.data import LatentBatch
from equildm.denoise import WidthScaledUNet
from equildm.nn import Conv, Linear, LoRALayer, LoRAWeights, merge_lora, new_lora, with_lora_layers


@pytest.fixture(scope="module")
def network():
    return WidthScaledUNet(
        16,
        context_width=8,
        multipliers=(1,),
        depths=(1,),
        transformer_depths=(1,),
        heads=2,
        groups=8,
        key=jax.random.key(0),
    )


@pytest.fixture(scope="module")
def batch():
    draw = np.random.default_rng(3).standard_normal
    text = draw((4, 3, 8), np.float32), np.ones((4, 3), bool)
    latents, *text = jax.device_put((draw((4, 4, 4, 4), np.float32), *text))
    return LatentBatch(latents, TextEmbedding(*text))


def randomised(adapters, seed=1):
    rng = np.random.default_rng(seed)
    draw = lambda x: jax.device_put(0.2 * rng.standard_normal(x.shape, np.float32))
    return jax.tree.map(draw, adapters)


@eqx.filter_jit
def apply(network, batch, dtype=jnp.float32):
    times = jnp.linspace(1.0, 900.0, 4)
    return jax.vmap(network)(batch.latents.astype(dtype), times, batch.text)


def error(a, b):
    a, b = np.asarray(a), np.asarray(b)
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def everywhere(network, rank=3, **options):
    return new_lora(network, rank, layers=("*",), key=jax.random.key(7), **options)


def test_a_linear_map_and_a_convolution_by_the_formula():
    rng = np.random.default_rng(0)
    draw = lambda *shape: jax.device_put(rng.normal(size=shape).astype(np.float32))
    linear = Linear(5, 4, key=jax.random.key(0))
    factors = LoRAWeights(draw(5, 2), draw(2, 4), 6.0)
    x = draw(3, 5)
    down, up = np.float64(factors.down), np.float64(factors.up)
    difference = 0.5 * 6.0 / 2 * (np.float64(x) @ down @ up)
    wrapped = with_lora_layers((linear,), {"0": factors}, 0.5)[0]
    expected = np.asarray(called(linear, x)) + difference
    np.testing.assert_allclose(called(wrapped, x), expected, rtol=1e-5, atol=1e-5)
    assert wrapped.bias is linear.bias

    conv = Conv(3, 4, stride=2, padding=((0, 1), (0, 1)), key=jax.random.key(1))
    factors, x = LoRAWeights(draw(3, 3, 3, 2), draw(2, 4), 1.0), draw(8, 8, 3)
    product = np.einsum("hwir,ro->hwio", factors.down, factors.up) / 2
    weight = np.asarray(conv.weight) + product
    by_weight = eqx.tree_at(lambda layer: layer.weight, conv, weight)
    wrapped = with_lora_layers((conv,), {"0": factors})[0]
    np.testing.assert_allclose(called(wrapped, x), called(by_weight, x), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(wrapped.weight, weight, rtol=1e-5, atol=1e-6)


def test_new_adapters_change_nothing(network, batch):
    adapters = everywhere(network)
    merged_leaves = jax.tree.leaves(merge_lora(network, adapters))
    for merged_leaf, leaf in zip(merged_leaves, jax.tree.leaves(network), strict=True):
        np.testing.assert_array_equal(merged_leaf, leaf)
    wrapped = with_lora_layers(network, adapters)
    x = np.random.default_rng(0).standard_normal((4, 4, 16), np.float32)
    block, wrapped_block = (net.down[0].stages[0].block for net in (network, wrapped))
    np.testing.assert_array_equal(called(wrapped_block.conv1, x), called(block.conv1, x))
    np.testing.assert_array_equal(wrapped_block.time.layer.weight, block.time.weight)
    # Compiled together, the two round differently.
    assert error(apply(wrapped, batch), apply(network, batch)) < 1e-6


def test_adapters_are_put_on_attention_by_default(network):
    adapters = new_lora(network, 2, key=jax.random.key(0))
    names = {path.rpartition(".")[2] for path in adapters}
    assert names == {"to_query", "to_key", "to_value", "to_out"}
    assert len(adapters) == 8 * 4  # two attentions in each of four transformers
    assert not any("feed_forward" in path for path in adapters)


def test_wrapped_and_merged_are_one(network, batch):
    adapters = randomised(everywhere(network, alpha=1.5))
    base, wrapped = apply(network, batch), apply(with_lora_layers(network, adapters, 0.7), batch)
    assert error(base, wrapped) > 0.1
    assert error(apply(merge_lora(network, adapters, 0.7), batch), wrapped) < 1e-5
    assert error(apply(with_lora_layers(network, adapters, 0), batch), base) < 1e-6
    again = merge_lora(merge_lora(network, adapters, 0.7), adapters, -0.7)
    assert error(apply(again, batch), base) < 1e-5


def test_several_adapters_add_up(network, batch):
    first, second = randomised(everywhere(network)), randomised(everywhere(network, 2), 2)
    wrapped = with_lora_layers(with_lora_layers(network, first), second, 0.5)
    expected = apply(merge_lora(merge_lora(network, first), second, 0.5), batch)
    assert error(apply(wrapped, batch), expected) < 1e-5
    mixed = merge_lora(with_lora_layers(network, first), second, 0.5)
    assert error(apply(mixed, batch), expected) < 1e-5


def test_the_strength_is_traced(network):
    block = network.down[0].stages[0].block
    adapters, traces = randomised(everywhere(block)), []
    draw = np.random.default_rng(0).standard_normal
    x, time = jax.device_put((draw((4, 4, 16), np.float32), draw(64, np.float32)))

    @jax.jit
    def run(block, adapters, scale):
        traces.append(scale)
        return with_lora_layers(block, adapters, scale)(x, time)

    outputs = [run(block, adapters, jnp.float32(scale)) for scale in (0.0, 0.3)]
    assert len(traces) == 1
    expected = called(with_lora_layers(block, adapters, 0.3), x, time)
    assert error(outputs[0], expected) > 1e-2
    assert error(outputs[1], expected) < 1e-6


def test_the_arithmetic_follows_the_input(network, batch):
    adapted = with_lora_layers(network, randomised(everywhere(network)))
    assert eqx.filter_eval_shape(apply, adapted, batch, jnp.bfloat16).dtype == jnp.bfloat16
    half = jax.tree.map(lambda x: jax.device_put(np.asarray(x, jnp.bfloat16)), network)
    shapes = eqx.filter_eval_shape(merge_lora, half, everywhere(network))
    dtypes = {x.dtype for x in jax.tree.leaves(shapes)}
    assert dtypes == {jnp.dtype(jnp.bfloat16)}


def test_what_does_not_fit_is_named(network):
    adapters = everywhere(network)
    with pytest.raises(ValueError, match=r"no layer 'up\.9'"):
        with_lora_layers(network, {"up.9": adapters["conv_in"]})
    with pytest.raises(ValueError, match=r"'time\.out' is for a weight of shape \(3, 3, 4, 16\)"):
        merge_lora(network, {"time.out": adapters["conv_in"]})
    with pytest.raises(ValueError, match=r"matches 'attention'.*conv_in"):
        new_lora(network, 2, layers=("attention",), key=jax.random.key(0))
    with pytest.raises(ValueError, match="at least 1, received 0"):
        new_lora(network, 0, key=jax.random.key(0))


def test_a_wrapped_network_takes_new_adapters(network):
    wrapped = with_lora_layers(network, everywhere(network))
    assert isinstance(wrapped.conv_in, LoRALayer)
    again = new_lora(wrapped, 2, layers=("*",), key=jax.random.key(0))
    assert set(again) == set(everywhere(network))
