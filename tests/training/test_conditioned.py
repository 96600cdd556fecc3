"""Objectives whose condition is made of the image inside of the step: inpainting, ControlNet."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import called, trees_equal

from equildm import TextEmbedding
from equildm.data import CaptionedBatch, LatentBatch
from equildm.denoise import (
    ControlCondition,
    ControlNetConfig,
    ImageCondition,
    preset,
    widen_input,
)
from equildm.images import to_unit
from equildm.latents import VAEConfig
from equildm.noise import ScaledLinear, Uniform, UniformTimes, Velocity
from equildm.runtime import copied
from equildm.training import (
    ConditionedDenoising,
    control_image,
    DecayEMA,
    DenoisingObjective,
    make_step,
    masked_condition,
    MaskedImage,
    MatchingWeights,
    random_mask,
    TrainState,
)

SIZES = {"multipliers": (1,), "depths": (1,), "transformer_depths": (0,), "heads": 1}
CONFIG = preset(8, in_channels=2, out_channels=2, context_width=3, groups=4, **SIZES)
VAE = VAEConfig(
    width=4, multipliers=(1, 1), depth=1, latent_channels=2, groups=2, scale=0.5, shift=0.1
).build(key=jax.random.key(0))
NULL = TextEmbedding(*jax.device_put((np.zeros((4, 3), np.float32), np.ones(4, bool))))
DENOISING = DenoisingObjective(
    ScaledLinear(), Velocity(), Uniform(), UniformTimes(), NULL, dropout=0.0
)
KEYS = jax.random.split(jax.random.key(2), 3)
NUMBERS = np.random.default_rng(0)
IMAGES, CONTROLS = (NUMBERS.integers(0, 256, (3, 8, 12, 3), np.uint8) for _ in range(2))
TOKENS = NUMBERS.standard_normal((3, 4, 3)).astype(np.float32)
IMAGES, CONTROLS, TOKENS, REAL = jax.device_put((IMAGES, CONTROLS, TOKENS, np.ones((3, 4), bool)))
TEXT = TextEmbedding(TOKENS, REAL)
BATCH = CaptionedBatch(IMAGES, TEXT, CONTROLS)


@pytest.fixture(scope="module")
def unet():
    return CONFIG.build(key=jax.random.key(0))


@pytest.fixture(scope="module")
def controlled(unet):
    return ControlNetConfig.for_pixels(CONFIG, VAE.factor).around(unet, key=jax.random.key(1))


@pytest.fixture(scope="module")
def plain_loss(unet):
    """The loss of the latents alone, with the keys that are left for it."""
    latents = eqx.filter_jit(jax.vmap(VAE.encode_scaled))(to_unit(IMAGES))
    keys = jnp.stack([jax.random.split(key)[1] for key in KEYS])
    loss, _ = eqx.filter_jit(DENOISING)(unet, LatentBatch(latents, TEXT), keys)
    return loss


@pytest.mark.slow
def test_a_fresh_controlnet_has_the_loss_of_its_unet(controlled, plain_loss):
    objective = ConditionedDenoising(DENOISING, VAE, control_image)
    loss, metrics = eqx.filter_jit(objective)(controlled, BATCH, KEYS)
    np.testing.assert_allclose(loss, plain_loss, rtol=1e-6)
    assert metrics == {}


@pytest.mark.slow
def test_a_widened_unet_has_the_loss_of_the_unet(unet, plain_loss):
    objective = ConditionedDenoising(DENOISING, VAE, MaskedImage())
    loss, _ = eqx.filter_jit(objective)(widen_input(unet, 3), BATCH, KEYS)
    np.testing.assert_allclose(loss, plain_loss, rtol=1e-5)


def test_only_the_control_branch_learns(controlled):
    """At first what is zero learns; then all of the branch; never the UNet."""
    part = MatchingWeights(("control.*",))
    trained, frozen = part.split(controlled, key=jax.random.key(0))
    assert trained.network.conv_in.weight is None and frozen.control.conv_in.weight is None
    objective = part.objective(ConditionedDenoising(DENOISING, VAE, control_image), frozen)
    optimizer, ema = optax.sgd(0.1), DecayEMA(0.9)
    state = TrainState.create(copied(trained), optimizer, ema)
    step = make_step(objective, optimizer, ema, key=jax.random.key(1))
    batch = copied(BATCH)

    def weights(model):
        leaves = jax.tree_util.tree_leaves_with_path(jax.device_get(model))
        return {jax.tree_util.keystr(path, simple=True, separator="."): x for path, x in leaves}

    changes, before = [], weights(trained)
    for _ in range(2):
        state, metrics = step(state, batch)
        after = weights(state.model)
        changes.append({name for name in after if np.any(after[name] != before[name])})
        before = after
    assert bool(metrics["finite"]) and all(name.startswith("control.") for name in before)
    outputs, everything = changes
    assert all("_output" in name for name in outputs) and len(outputs) == 2 * 3
    assert {"control.hint.conv_out.weight", "control.conv_in.weight"} <= everything
    joined = part.join(state.model, frozen)
    assert trees_equal(joined.network, controlled.network)
    assert not trees_equal(joined.control, controlled.control)


@eqx.filter_jit
def conditions(task, batch, keys):
    """What the network is conditioned on for each example."""

    def condition_of(example, key):
        conditions = []

        def network(x, t, condition):
            conditions.append(condition)
            return jnp.zeros_like(x)

        task.example(network, example, key)
        (condition,) = conditions
        return condition

    return jax.vmap(condition_of)(batch, keys)


def seen(make, objective=DENOISING, batch=BATCH):
    return jax.device_get(conditions(ConditionedDenoising(objective, VAE, make), batch, KEYS))


def test_the_image_keeps_what_is_known_and_hides_the_rest():
    image, mask = to_unit(np.asarray(IMAGES[0])), np.zeros((8, 12), bool)
    mask[2:6, 3:8] = True
    text = TextEmbedding(*jax.device_put((np.asarray(TOKENS)[0], np.ones(4, bool))))

    def condition_of(image):
        return called(masked_condition, VAE, *jax.device_put((image, mask)), text)

    condition = condition_of(image)
    assert isinstance(condition, ImageCondition) and float(condition.level) == 0
    assert condition.image.shape == (4, 6, 1 + 2)
    condition = np.asarray(condition.image)

    # The mask comes first: the share of each position's 2x2 pixels.
    shares = np.zeros((4, 6))
    shares[1:3, 1:4] = [0.5, 1.0, 1.0]
    np.testing.assert_allclose(condition[..., 0], shares)
    grey = jax.device_put(np.where(mask[..., None], np.float32(0), image))
    latent = (np.asarray(called(VAE.encode, grey).mode()) - 0.1) * 0.5
    np.testing.assert_allclose(condition[..., 1:], latent, rtol=1e-6)

    # Nothing of the painted region is seen, and everything else is.
    hidden = condition_of(np.where(mask[..., None], -image, image))
    np.testing.assert_array_equal(hidden.image, condition)
    image[0, 0] += 0.5
    assert not np.array_equal(condition_of(image).image, condition)


def test_masks_follow_from_the_examples_keys():
    masks = seen(MaskedImage()).image[..., 0]
    np.testing.assert_array_equal(masks, seen(MaskedImage()).image[..., 0])
    draw = jax.jit(jax.vmap(lambda key: random_mask(jax.random.split(key)[0], 8, 12)))
    expected = np.asarray(draw(KEYS), np.float32)
    shares = expected.reshape(3, 4, 2, 6, 2).mean((2, 4))
    np.testing.assert_allclose(masks, shares, rtol=1e-6)
    assert len({mask.tobytes() for mask in masks}) == 3
    everything = MaskedImage(lambda key, height, width: jnp.ones((height, width), bool))
    assert np.min(seen(everything).image[..., 0]) == 1


@pytest.mark.parametrize("dropout", [0.0, 1.0])
@pytest.mark.parametrize("make", [MaskedImage(), control_image])
def test_dropout_replaces_the_caption_alone(make, dropout):
    objective = dataclasses.replace(DENOISING, dropout=dropout)
    condition = seen(make, objective)
    expected = np.zeros_like(TEXT.tokens) if dropout else TEXT.tokens
    np.testing.assert_array_equal(condition.text.tokens, expected)
    np.testing.assert_array_equal(condition.image, seen(make).image)


def test_control_images_arrive_as_pixels():
    np.testing.assert_allclose(seen(control_image).image, called(to_unit, CONTROLS))
    with pytest.raises(ValueError, match="received one without"):
        seen(control_image, batch=CaptionedBatch(IMAGES, TEXT))


def test_a_condition_of_ones_own_is_a_function():
    def mean_color(vae, example, text, key):
        mean = jnp.mean(to_unit(example.images), axis=(0, 1))
        return ControlCondition(text, jnp.broadcast_to(mean, example.images.shape))

    colors = seen(mean_color).image[:, 0, 0]
    np.testing.assert_allclose(colors, np.mean(to_unit(np.asarray(IMAGES)), (1, 2)), rtol=1e-4)


@pytest.mark.slow
def test_a_batch_in_parts_draws_the_same(controlled):
    objective = eqx.filter_jit(ConditionedDenoising(DENOISING, VAE, control_image))
    batch_loss, _ = objective(controlled, BATCH, KEYS)
    slices = [slice(i, i + 1) for i in range(3)]
    parts = [
        objective(controlled, jax.tree.map(lambda leaf, at=at: leaf[at], BATCH), KEYS[at])[0]
        for at in slices
    ]
    np.testing.assert_allclose(np.mean(parts), batch_loss, rtol=1e-5)
