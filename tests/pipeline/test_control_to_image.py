"""Sampling a ControlNet: the control image, the caption and the strength."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import trees_equal
from small_models import moved_weights, random_images, small_model

from equildm.denoise import ControlCondition, ControlNet, ControlNetConfig, DiTConfig
from equildm.images import to_unit
from equildm.pipeline import ControlToImage, TextToImage
from equildm.pretrained import load_pretrained, save_pretrained
from equildm.text import embed

CONTROLS, PROMPTS = random_images(2, 16, 16, 3), ["a red disc", "a blue square"]
OPTIONS = {"steps": 2, "guidance_scale": 2.0}


@pytest.fixture(scope="module")
def start():
    """Its network is a transformer of one block, which compiles sooner than a UNet."""
    model = small_model()
    config = DiTConfig(16, 1, 2, in_channels=2, out_channels=2, context_width=384)
    network = moved_weights(config.build(key=jax.random.key(0)), 0.1, np.random.default_rng(0))
    return dataclasses.replace(
        model, network=network, config=dataclasses.replace(model.config, network=config)
    )


@pytest.fixture(scope="module")
def model(start):
    config = ControlNetConfig.for_pixels(start.config.network, start.vae.factor)
    network = config.around(start.network, key=jax.random.key(1))
    control = moved_weights(network.control, 0.1, np.random.default_rng(1))
    return dataclasses.replace(
        start,
        network=ControlNet(network.network, control),
        config=dataclasses.replace(start.config, network=config),
    )


@pytest.fixture(scope="module")
def images(model):
    return ControlToImage(model)(CONTROLS, PROMPTS, **OPTIONS)


def test_without_strength_it_is_the_model_that_it_was_made_of(start, model, images):
    plain = TextToImage(start)(PROMPTS, **OPTIONS)
    alone = ControlToImage(model)(CONTROLS, PROMPTS, strength=0.0, **OPTIONS)
    np.testing.assert_allclose(alone, plain, atol=1e-5)
    distances = [
        np.abs(ControlToImage(model)(CONTROLS, PROMPTS, strength=s, **OPTIONS) - plain).mean()
        for s in (0.25, 1.0)
    ]
    assert 1e-3 < distances[0] < distances[1]
    assert np.abs(images - plain).mean() == pytest.approx(distances[1])


def test_each_image_follows_its_control_image_and_its_caption(model, images):
    sampler = ControlToImage(model)
    swapped = sampler(CONTROLS[::-1], PROMPTS, **OPTIONS)
    assert np.abs(swapped - images).max() > 1e-3
    other = sampler(np.stack([CONTROLS[0], 255 - CONTROLS[1]]), PROMPTS, **OPTIONS)
    np.testing.assert_allclose(other[0], images[0], atol=1e-5)
    assert np.abs(other[1] - images[1]).max() > 1e-3


@pytest.mark.slow
def test_guidance_sees_the_control_image_on_both_sides(model, images):
    text = jax.tree.map(jnp.asarray, embed(model.text_encoder, [PROMPTS[0], ""]))
    control = jnp.asarray(to_unit(CONTROLS[:1]))
    condition = ControlCondition(jax.tree.map(lambda leaf: leaf[:1], text), control)
    null = ControlCondition(jax.tree.map(lambda leaf: leaf[1], text), control[0])
    sampled = TextToImage(model).generate(
        condition, null, levels=model.levels(2), guidance_scale=2.0
    )
    np.testing.assert_allclose(sampled[0], images[0], atol=1e-4)


@pytest.mark.slow
def test_other_sizes(model):
    wide = ControlToImage(model)(random_images(1, 16, 24, 3), ["x"], **OPTIONS)
    assert wide.shape == (1, 16, 24, 3)


def test_a_folder_holds_it_exactly(model, images, tmp_path):
    save_pretrained(tmp_path / "model", model)
    loaded = load_pretrained(tmp_path / "model")
    assert loaded.config == model.config
    assert trees_equal(
        eqx.filter(loaded.network, eqx.is_array), eqx.filter(model.network, eqx.is_array)
    )
    np.testing.assert_array_equal(ControlToImage(loaded)(CONTROLS, PROMPTS, **OPTIONS), images)


def test_what_does_not_fit_is_refused(start, model):
    with pytest.raises(ValueError, match=r"takes a model of controlnet\.py"):
        ControlToImage(start)
    with pytest.raises(ValueError, match="one prompt for each control image"):
        ControlToImage(model)(CONTROLS, ["x"])
    with pytest.raises(ValueError, match="strength is a finite number, received nan"):
        ControlToImage(model)(CONTROLS, PROMPTS, strength=float("nan"))
    with pytest.raises(ValueError, match="takes an ControlCondition"):
        TextToImage(model)(PROMPTS)
