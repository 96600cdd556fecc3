"""Inpainting with a trained model: what is known stays, what is painted follows from the rest."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import trees_equal
from small_models import moved_weights, random_images, small_model

from equildm.denoise import ImageCondition, widen_input
from equildm.images import to_unit
from equildm.pipeline import Inpainter, InpainterConfig, TextToImage
from equildm.pretrained import load_pretrained, save_pretrained
from equildm.text import embed
from equildm.training import masked_condition

IMAGES, PROMPTS = random_images(3, 16, 16, 3), ["a red disc", "", "a blue square"]
MASKS = np.zeros((3, 16, 16), bool)
MASKS[0, 3:9, 2:12] = MASKS[1, :, 8:] = MASKS[2] = True
OPTIONS = {"steps": 2, "guidance_scale": 2.0}


@pytest.fixture(scope="module")
def model():
    start = small_model()
    config = InpainterConfig.for_latents(start.config.network, start.vae.latent_channels)
    return dataclasses.replace(
        start,
        network=moved_weights(widen_input(start.network, 3), 0.05, np.random.default_rng(1)),
        config=dataclasses.replace(start.config, network=config),
    )


@pytest.fixture(scope="module")
def painted(model):
    return Inpainter(model)(IMAGES, MASKS, PROMPTS, **OPTIONS)


def test_known_pixels_stay_exactly(painted):
    assert painted.shape == (3, 16, 16, 3) and painted.dtype == np.float32
    np.testing.assert_array_equal(painted[~MASKS], to_unit(IMAGES)[~MASKS])
    assert np.abs(painted[MASKS] - to_unit(IMAGES)[MASKS]).mean() > 0.05


def test_what_is_under_the_mask_is_not_seen(model, painted):
    others = np.where(MASKS[..., None], 255 - IMAGES, IMAGES)
    np.testing.assert_array_equal(Inpainter(model)(others, MASKS, PROMPTS, **OPTIONS), painted)
    known = IMAGES.copy()
    known[0, 0] = 255 - known[0, 0]
    again = Inpainter(model)(known, MASKS, PROMPTS, **OPTIONS)
    assert np.abs(again - painted)[0][MASKS[0]].max() > 1e-4
    np.testing.assert_array_equal(again[1:], painted[1:])


@pytest.mark.slow
def test_it_is_sampling_with_the_condition_of_training(model, painted):
    """The null condition has the image, too, and the empty caption."""
    text = jax.tree.map(jnp.asarray, embed(model.text_encoder, [*PROMPTS, ""]))
    conditions = [
        jax.jit(masked_condition)(
            model.vae,
            to_unit(jnp.asarray(IMAGES[i])),
            jnp.asarray(MASKS[i]),
            jax.tree.map(lambda leaf, i=i: leaf[i], text),
        )
        for i in range(3)
    ]
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *conditions)
    for i in (0, 1, 2):
        one = jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], batch)
        null_text = jax.tree.map(lambda leaf: leaf[3], text)
        null = ImageCondition(null_text, one.image[0], one.level[0])
        levels = model.levels(2)
        sampled = TextToImage(model).generate(
            one, null, levels=levels, guidance_scale=2.0, seeds=[i]
        )
        np.testing.assert_allclose(sampled[0][MASKS[i]], painted[i][MASKS[i]], atol=2e-4)


@pytest.mark.slow
def test_batches_seeds_and_sizes(model, painted):
    inpainter = Inpainter(model)
    in_parts = inpainter(IMAGES, MASKS, PROMPTS, batch_size=2, **OPTIONS)
    np.testing.assert_allclose(in_parts, painted, atol=2e-4)
    others = inpainter(IMAGES, MASKS, PROMPTS, seeds=[0, 5, 2], **OPTIONS)
    assert np.abs(others - painted)[1].max() > 1e-3
    wide = inpainter(random_images(1, 16, 24, 3), np.ones((1, 16, 24), bool), ["x"], **OPTIONS)
    assert wide.shape == (1, 16, 24, 3)


def test_a_folder_holds_it_exactly(model, painted, tmp_path):
    save_pretrained(tmp_path / "model", model)
    loaded = load_pretrained(tmp_path / "model")
    assert loaded.config == model.config
    assert trees_equal(
        eqx.filter(loaded.network, eqx.is_array), eqx.filter(model.network, eqx.is_array)
    )
    np.testing.assert_array_equal(Inpainter(loaded)(IMAGES, MASKS, PROMPTS, **OPTIONS), painted)


def test_what_does_not_fit_is_refused(model):
    with pytest.raises(ValueError, match=r"takes a model of inpaint\.py"):
        Inpainter(small_model())
    with pytest.raises(ValueError, match="one prompt for each image"):
        Inpainter(model)(IMAGES, MASKS, PROMPTS[:2])
    with pytest.raises(ValueError, match="takes an ImageCondition"):
        TextToImage(model)(PROMPTS)
