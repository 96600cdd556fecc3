"""A ControlNet begins as its UNet, adds residuals to its features, and is diffusers' own."""

import dataclasses
import re

import diffusers_names
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import called, others_slow, together
from small_models import moved_weights

from equildm import TextEmbedding
from equildm.denoise import (
    ControlCondition,
    ControlNet,
    ControlNetConfig,
    Guided,
    Preconditioned,
    preset,
    UNetFeatures,
    widen_input,
)
from equildm.noise import Epsilon, ScaledLinear
from equildm.runtime import from_json, to_json

SIZES = {
    "multipliers": (1, 2),
    "depths": (1, 1),
    "transformer_depths": (1, 0),
    "heads": 2,
    "groups": 4,
}
CONFIG = preset(8, in_channels=3, out_channels=3, context_width=5, **SIZES)
ONE_LEVEL = dataclasses.replace(CONFIG, multipliers=(1,), depths=(1,), transformer_depths=(0,))
"""Compiles in half the time; its middle attends."""
CONTROL = ControlNetConfig(ONE_LEVEL, hint_channels=(4, 6))
T = jax.device_put(np.float32(300))


def drawn(*shape):
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


TEXT = TextEmbedding(*jax.device_put((drawn(4, 5), np.array([True, True, True, False]))))
NULL = TextEmbedding(*jax.device_put((drawn(4, 5) - 1, np.ones(4, bool))))
X, IMAGE = jax.device_put((drawn(4, 6, 3), np.sin(10 * drawn(8, 12, 3))))


@pytest.fixture(scope="module")
def unet():
    return ONE_LEVEL.build(key=jax.random.key(0))


@pytest.fixture(scope="module")
def fresh(unet):
    return CONTROL.around(unet, key=jax.random.key(1))


@pytest.fixture(scope="module")
def trained(fresh):
    """Every weight of the branch moved off its initial value."""
    control = moved_weights(fresh.control, 0.05, np.random.default_rng(0))
    return ControlNet(fresh.network, control)


@pytest.mark.parametrize("dtype", others_slow(["float32", "bfloat16"], "bfloat16"))
def test_step_0_is_the_unet_exactly(unet, fresh, dtype):
    x, condition = np.asarray(X).astype(dtype), ControlCondition(TEXT, IMAGE)
    controlled, plain, residuals = together(
        (fresh, x, T, condition), (unet, x, T, TEXT), (fresh.control, x, T, condition)
    )
    np.testing.assert_array_equal(controlled, plain)
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(residuals))
    assert {leaf.dtype for leaf in jax.tree.leaves(residuals)} == {x.dtype}


@pytest.mark.slow
def test_residuals_are_added_to_the_skips_and_to_the_middle():
    """Beside a UNet of two levels written out by hand, with residuals of ones, twos, ..."""
    unet = CONFIG.build(key=jax.random.key(0))
    time, context = unet.time(T), TEXT.tokens

    @eqx.filter_jit
    def by_hand(unet):
        block = lambda stage, x: stage(x, time, context, TEXT.mask)
        first = unet.conv_in(X)
        high = block(unet.down[0].stages[0], first)
        halved = unet.down[0].resample(high)
        low = block(unet.down[1].stages[0], halved)
        x = unet.middle(low, time, context, TEXT.mask) + 5
        for stage, skip in zip(unet.up[0].stages, (low + 4, halved + 3), strict=True):
            x = block(stage, jnp.concatenate([x, skip], -1))
        x = unet.up[0].resample(x)
        for stage, skip in zip(unet.up[1].stages, (high + 2, first + 1), strict=True):
            x = block(stage, jnp.concatenate([x, skip], -1))
        shapes = [jnp.shape(skip) for skip in (first, high, halved, low)]
        return unet.conv_out(jax.nn.silu(unet.norm_out(x))), shapes

    expected, shapes = by_hand(unet)
    skips = tuple(jnp.full(shape, i + 1.0) for i, shape in enumerate(shapes))
    residuals = UNetFeatures(skips, jnp.full(shapes[-1], 5.0))
    at = eqx.filter_jit(lambda unet, residuals: unet.at(X, time, TEXT, residuals))
    np.testing.assert_allclose(at(unet, residuals), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="shapes of the UNet's features"):
        at(unet, UNetFeatures(skips[:-1], residuals.middle))


def test_the_image_steers_and_strength_scales(trained, unet):
    def doubled(network):
        residuals = jax.tree.map(lambda leaf: 2 * leaf, network.control(X, T, condition))
        return network.network.at(X, network.network.time(T), TEXT, residuals)

    def output(network, image=IMAGE):
        return np.asarray(called(network, X, T, ControlCondition(TEXT, image)))

    condition = ControlCondition(TEXT, IMAGE)
    plain, twice = together((unet, X, T, TEXT), (doubled, trained))
    once = output(trained)
    assert np.max(np.abs(once - plain)) > 1e-2
    assert np.max(np.abs(once - output(trained, jax.device_put(-np.asarray(IMAGE))))) > 1e-3
    np.testing.assert_array_equal(output(trained.scaled(0.0)), plain)
    np.testing.assert_allclose(output(trained.scaled(2.0)), twice, rtol=1e-4, atol=1e-5)


def test_the_branch_is_a_copy(unet, fresh):
    """Training donates the branch's buffers; the UNet must keep its own."""
    names = ("conv_in", "time", "down", "middle")
    for name in names:
        ours, theirs = (jax.tree.leaves(getattr(part, name)) for part in (fresh.control, unet))
        for a, b in zip(ours, theirs, strict=True):
            assert a.unsafe_buffer_pointer() != b.unsafe_buffer_pointer()
            np.testing.assert_array_equal(a, b)
    assert all(a is b for a, b in zip(*map(jax.tree.leaves, (fresh.network, unet)), strict=True))


def test_a_config_builds_it_and_survives_json(fresh):
    two_levels = dataclasses.replace(CONTROL, of=CONFIG)
    assert two_levels.multiple == 2 and two_levels.backbone == CONFIG
    config = from_json(ControlNetConfig, to_json(CONTROL))
    assert config == CONTROL and config.multiple == 1 and config.backbone == ONE_LEVEL
    assert config.condition_type is ControlCondition
    shapes = eqx.filter_eval_shape(config.build, key=jax.random.key(0))
    assert jax.tree.structure(shapes) == jax.tree.structure(fresh)
    built = [leaf.shape for leaf in jax.tree.leaves(shapes)]
    assert built == [leaf.shape for leaf in jax.tree.leaves(fresh)]


@pytest.mark.parametrize(
    ("factor", "channels"),
    [(1, (16,)), (4, (16, 32, 96)), (8, (16, 32, 96, 256)), (16, (16, 32, 96, 256, 256))],
)
def test_images_in_pixels(factor, channels):
    config = ControlNetConfig.for_pixels(CONFIG, factor)
    assert config.hint_channels == channels
    shapes = eqx.filter_eval_shape(config.build, key=jax.random.key(0))
    assert shapes.control.hint.factor == factor


@pytest.mark.slow
def test_guidance_leads_away_from_the_caption_alone(trained):
    denoiser = Preconditioned(trained, ScaledLinear(), Epsilon())
    condition, other = ControlCondition(TEXT, IMAGE), ControlCondition(NULL, IMAGE)
    s = jnp.asarray(2.0)
    both = called(Guided(denoiser, 3.0), X, s, (condition, other))
    guided = CONTROL.guided(denoiser, 3.0)
    np.testing.assert_array_equal(called(guided, X, s, (condition, NULL)), both)
    np.testing.assert_array_equal(called(guided, X, s, (condition, other)), both)


def test_what_does_not_fit_is_refused(unet, fresh):
    with pytest.raises(ValueError, match="2 times as many pixels a side"):
        eqx.filter_eval_shape(fresh, X, T, ControlCondition(TEXT, X))
    with pytest.raises(ValueError, match="WidthScaledDiT or MMDiT, received a Concatenated"):
        CONTROL.around(widen_input(unet, 1), key=jax.random.key(0))
    with pytest.raises(ValueError, match="at least 1 entry"):
        ControlNetConfig(CONFIG, hint_channels=())


NAMES = [
    (r"^hint\.convs\.0\.", "controlnet_cond_embedding.conv_in."),
    (r"^hint\.conv_out", "controlnet_cond_embedding.conv_out"),
    (r"^hint\.convs\.", "controlnet_cond_embedding.blocks."),
    (r"^skip_outputs", "controlnet_down_blocks"),
    (r"^middle_output", "controlnet_mid_block"),
]
"""What a ControlNet has beside its UNet's parts."""


def their_name(path):
    name = diffusers_names.their_name(path)
    for ours, theirs in NAMES:
        name = re.sub(ours, theirs, name)
    # diffusers numbers the convolutions behind the first one from 0.
    return re.sub(r"embedding\.blocks\.(\d+)", lambda m: f"embedding.blocks.{int(m[1]) - 1}", name)


def test_is_the_controlnet_of_diffusers(peer):
    """Every residual, on a latent that is not square. (Theirs takes no mask of the caption.)"""
    sizes = {"multipliers": (1, 2), "depths": (1, 1), "transformer_depths": (1, 0)}
    unet = preset(32, context_width=24, **sizes)
    config = ControlNetConfig(unet, hint_channels=(16, 32, 96, 256))
    random = np.random.default_rng(0)
    control = moved_weights(config.build(key=jax.random.key(0)).control, 0.05, random)
    x = random.standard_normal((8, 24, 4), np.float32)
    image = random.standard_normal((64, 192, 3), np.float32)
    text = random.standard_normal((11, 24), np.float32)
    theirs = peer(
        "controlnet",
        {"channels": (32, 64), "layers": 1, "context_width": 24, "groups": unet.groups},
        x=x[None],
        t=np.asarray([812.0], np.float32),
        text=text[None],
        image=image[None],
        **diffusers_names.weights(control, their_name),
    )
    embedding = TextEmbedding(jnp.asarray(text), jnp.ones(11, bool))
    condition = ControlCondition(embedding, jnp.asarray(image))
    residuals = called(control, jnp.asarray(x), jnp.asarray(812.0), condition)
    assert len(residuals.skips) == len(theirs) - 1
    for name, ours in [
        *((f"skip{i}", skip) for i, skip in enumerate(residuals.skips)),
        ("middle", residuals.middle),
    ]:
        error = np.linalg.norm(ours - theirs[name][0]) / np.linalg.norm(theirs[name])
        print(f"{name}: relative error {error:.1e}")
        assert error < 1e-4
