"""A ControlNet of a transformer begins as the transformer, and steers its blocks."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import called, others_slow, together, trees_equal
from small_models import moved_weights

from equildm import TextEmbedding
from equildm.denoise import (
    ControlCondition,
    ControlNet,
    ControlNetConfig,
    DiTConfig,
    MMDiTConfig,
    network_shapes,
    preset,
    widen_input,
)
from equildm.runtime import from_json, to_json
from equildm.training import MatchingWeights, rematerialise

DIT = DiTConfig(16, 4, 2, in_channels=3, out_channels=3, context_width=5)
PIXART = dataclasses.replace(DIT, modulation="shared", positions="rotary", scan=False)
MMDIT = MMDiTConfig(
    16, 4, 2, in_channels=3, out_channels=3, context_width=5, qk_norm=True, dual_depth=1,
    pooled_width=7,
)  # fmt: skip
CONFIGS = {"dit": DIT, "pixart": PIXART, "mmdit": MMDIT}
RANDOM = np.random.default_rng(0)


def drawn(*shape):
    return jax.device_put(RANDOM.standard_normal(shape).astype(np.float32))


X, T, IMAGE, TOKENS, POOLED = (
    drawn(4, 6, 3),
    jax.device_put(np.float32(300)),
    drawn(8, 12, 3),
    drawn(4, 5),
    drawn(7),
)


def condition_for(config, image=IMAGE):
    mask = jax.device_put(np.array([True, True, True, False]))
    pooled = None if config.pooled_width is None else POOLED
    return ControlCondition(TextEmbedding(TOKENS, mask, pooled), image)


def control_of(config, **options):
    return ControlNetConfig(config, **{"hint_channels": (4, 6), **options})


@functools.cache
def fresh(kind):
    """A new branch around a network none of whose weights is zero."""
    config = CONFIGS[kind]
    network = moved_weights(config.build(key=jax.random.key(0)), 0.1, np.random.default_rng(1))
    return control_of(config).around(network, key=jax.random.key(1))


@functools.cache
def trained(kind):
    """Every weight of the branch moved off its initial value."""
    network = fresh(kind)
    control = moved_weights(network.control, 0.1, np.random.default_rng(2))
    return ControlNet(network.network, control)


# In bfloat16 the compiler rounds blocks that are written out, as pixart's, where it likes.
@pytest.mark.parametrize(
    ("kind", "dtype"),
    others_slow(
        [*((kind, "float32") for kind in CONFIGS), ("dit", "bfloat16"), ("mmdit", "bfloat16")],
        ("dit", "bfloat16"),
    ),
)
def test_step_0_is_the_transformer_exactly(kind, dtype):
    network, condition = fresh(kind), condition_for(CONFIGS[kind])
    x = np.asarray(X).astype(dtype)
    controlled, plain = map(
        np.asarray,
        together((network, x, T, condition), (network.network, x, T, condition.text)),
    )
    np.testing.assert_array_equal(controlled, plain)
    assert controlled.dtype == x.dtype and controlled.any()


@pytest.mark.parametrize("kind", others_slow(CONFIGS, "mmdit"))
def test_is_the_blocks_written_out_by_hand(kind):
    """The branch copies the first two of four blocks; the trunk has what each makes."""
    network, condition = trained(kind), condition_for(CONFIGS[kind])

    @eqx.filter_jit
    def by_hand(whole, condition):
        trunk, control = whole.network, whole.control

        def start(part, extra):
            (stream, rest), last = part.embedded(X, part.time(T), condition.text, extra)
            return (stream if isinstance(stream, tuple) else (stream,)), rest, last

        def blocks(part):
            return [stack[i] for stack in part.block_stacks() for i in range(stack.depth)]

        def run(block, stream, rest):
            stream = block(stream if len(stream) > 1 else stream[0], *rest)
            return stream if isinstance(stream, tuple) else (stream,)

        stream, rest, _ = start(control.network, control.hint(condition.image, X))
        residuals = []
        for copy in blocks(control.network):
            stream = run(copy.block, stream, rest)
            residuals.append(copy.output(stream[0]))
        first, second = residuals
        added = (first, first, second, 0) if kind == "mmdit" else (first, second, 0, 0)
        stream, rest, last = start(trunk, None)
        for block, residual in zip(blocks(trunk), added, strict=True):
            image, *others = run(block, stream, rest)
            stream = (image + residual, *others)
        rows = trunk.final(stream[0], last).reshape(2, 3, 2, 2, 3)
        return jnp.swapaxes(rows, 1, 2).reshape(4, 6, 3)

    expected = by_hand(network, condition)
    np.testing.assert_allclose(called(network, X, T, condition), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["dit", "mmdit"])
def test_the_image_steers_and_strength_scales(kind):
    network, condition = trained(kind), condition_for(CONFIGS[kind])
    (plain, full), (_, half) = (
        together((network.network, X, T, condition.text), (control, X, T, condition))
        for control in (network.control, network.scaled(0.5).control)
    )
    np.testing.assert_allclose(half, np.asarray(full) / 2, rtol=1e-4)
    once = np.asarray(called(network, X, T, condition))
    assert np.abs(once - plain).max() > 1e-2
    negative = condition_for(CONFIGS[kind], jax.device_put(-np.asarray(IMAGE)))
    assert np.abs(once - called(network, X, T, negative)).max() > 1e-3
    np.testing.assert_array_equal(called(network.scaled(0.0), X, T, condition), plain)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dit", "mmdit"])
def test_the_branch_alone_learns(kind):
    """At first what is zero learns, then all of the branch, and the loss falls; rematerialised."""
    part = MatchingWeights(("control.*",))
    model, frozen = part.split(fresh(kind), key=jax.random.key(0))
    condition, target = condition_for(CONFIGS[kind]), jnp.sin(X)
    optimizer = optax.adam(1e-2)

    @eqx.filter_jit
    def stepped(model, state):
        def loss(model):
            network = rematerialise(part.join(model, frozen), "blocks")
            return jnp.mean((network(X, T, condition) - target) ** 2)

        value, gradient = eqx.filter_value_and_grad(loss)(model)
        updates, state = optimizer.update(gradient, state)
        return eqx.apply_updates(model, updates), state, value, gradient

    state, losses, moving = optimizer.init(eqx.filter(model, eqx.is_array)), [], []
    for _ in range(4):
        model, state, value, gradient = stepped(model, state)
        leaves = jax.tree_util.tree_leaves_with_path(gradient)
        names = {jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves}
        assert all(name.startswith("control.") for name in names)
        moving.append({jax.tree_util.keystr(path) for path, leaf in leaves if np.any(leaf)})
        losses.append(float(value))
    assert all(".output." in name for name in moving[0]) and moving[0]
    # The caption of the last copied MMDiTBlock leads nowhere; everything else of the branch learns.
    idle = {jax.tree_util.keystr(path) for path, _ in leaves} - moving[2]
    assert all("text" in name or ".norms[2]" in name for name in idle)
    assert kind == "mmdit" or not idle
    assert losses[-1] < losses[0]


def test_the_branch_is_a_copy():
    """Training donates the branch's buffers; the transformer must keep its own."""
    network = control_of(DIT, blocks=4).around(
        DIT.build(key=jax.random.key(0)), key=jax.random.key(1)
    )
    pointers = [
        {leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(part)}
        for part in (network.control, network.network)
    ]
    assert pointers[0].isdisjoint(pointers[1])
    copy = network.control.network.blocks.stacked.block
    assert trees_equal(copy, network.network.blocks.stacked)
    assert network.control.network.final is None


@pytest.mark.parametrize(
    ("config", "sources"),
    [
        (control_of(DIT, blocks=1), (0, None, None, None)),
        (control_of(DIT, blocks=4), (0, 1, 2, 3)),
        (control_of(dataclasses.replace(DIT, depth=1)), (0,)),
        (control_of(MMDIT, blocks=1), (0, 0, 0, None)),
        (control_of(dataclasses.replace(MMDIT, depth=24), blocks=6),
         (*(i // 4 for i in range(23)), None)),
    ],
)  # fmt: skip
def test_a_config_says_how_many_blocks_are_copied_and_survives_json(config, sources):
    assert from_json(ControlNetConfig, to_json(config)) == config
    control = network_shapes(config).control
    assert control.sources == sources
    copied = sum(stack.depth for stack in control.network.block_stacks())
    assert copied == (config.blocks or 1)


def test_pixels_and_latents():
    pixels = ControlNetConfig.for_pixels(DIT, 8, blocks=2)
    assert network_shapes(pixels).control.hint.factor == 8 and pixels.blocks == 2
    latent = network_shapes(control_of(MMDIT, image_channels=16, hint_channels=()))
    assert latent.control.hint.factor == 1 and latent.control.hint.convs == ()
    assert latent.control.hint.conv_out.in_channels == 16


def test_what_does_not_fit_is_refused():
    network, condition = fresh("dit"), condition_for(DIT)
    with pytest.raises(ValueError, match="2 times as many pixels a side"):
        eqx.filter_eval_shape(network, X, T, dataclasses.replace(condition, image=X))
    at = lambda network, residuals: network.at(X, network.time(T), condition.text, residuals)
    with pytest.raises(ValueError, match=r"after every block, \(4, 6, 16\); received \(3, 6, 16\)"):
        eqx.filter_eval_shape(at, network.network, np.zeros((3, 6, 16), np.float32))
    with pytest.raises(ValueError, match="MMDiT, received a Concatenated"):
        control_of(DIT).around(widen_input(network.network, 1), key=jax.random.key(0))
    for config, blocks, most in ((DIT, 5, 4), (DIT, 0, 4), (MMDIT, 3, 2)):
        with pytest.raises(ValueError, match=f"copies 1 to {most} of its blocks"):
            network_shapes(control_of(config, blocks=blocks))
    with pytest.raises(ValueError, match="blocks are of transformers alone"):
        ControlNetConfig(preset(8), blocks=2)
