"""Models whose network is a transformer, in and out of folders."""

import dataclasses

import jax
import numpy as np
import pytest
from small_models import moved_weights, random_images, VAE

from equildm import (
    ControlToImage,
    load_pretrained,
    new_model,
    NoiseConfig,
    save_pretrained,
    TextToImage,
)
from equildm.denoise import ControlNetConfig, dit_preset, mmdit_preset
from equildm.interop import load_minilm
from equildm.pipeline import backbone_for, new_upscaler
from equildm.runtime import make_mesh

SMALL = {"width": 16, "depth": 2, "heads": 2, "context_width": 384}
LATENT = {"in_channels": 2, "out_channels": 2}


def model_of(config):
    vae = VAE.build(key=jax.random.key(0))
    model = new_model(
        config,
        vae,
        load_minilm(max_tokens=8),
        image_size=16,
        noise=NoiseConfig(),
        mesh=make_mesh(""),
    )
    network = moved_weights(model.network, 0.05, np.random.default_rng(0))
    return model.with_network(network)


@pytest.mark.slow
@pytest.mark.parametrize("preset", [dit_preset, mmdit_preset])
def test_a_model_survives_its_folder(preset, tmp_path):
    model = model_of(preset("tiny", **SMALL, **LATENT))
    save_pretrained(tmp_path / "saved", model)
    loaded = load_pretrained(tmp_path / "saved")
    assert loaded.config == model.config
    for one, two in zip(jax.tree.leaves(loaded.network), jax.tree.leaves(model.network)):
        np.testing.assert_array_equal(one, two)
    images = TextToImage(loaded)(["a red circle"], steps=2, guidance_scale=2.0)
    assert images.shape == (1, 16, 16, 3) and np.isfinite(images).all()


def test_an_upscaler_is_made_of_it():
    model = model_of(dit_preset("tiny", **SMALL, **LATENT))
    wide = new_upscaler(model, scale=2)
    assert wide.network.network.embed.in_channels == 4
    assert wide.config.network.backbone == model.config.network


def test_a_config_for_vae_and_text_encoder():
    vae, text_encoder = VAE.build(key=jax.random.key(0)), load_minilm(max_tokens=8)
    config = backbone_for("mmdit", "tiny", vae, text_encoder)
    assert (config.in_channels, config.out_channels, config.context_width) == (2, 2, 384)
    with pytest.raises(ValueError, match="received '40M'"):
        backbone_for("dit", "40M", vae, text_encoder)


@pytest.mark.slow
@pytest.mark.parametrize("preset", [dit_preset, mmdit_preset])
def test_a_controlnet_survives_its_folder(preset, tmp_path):
    start = model_of(preset("tiny", **SMALL, **LATENT))
    config = ControlNetConfig.for_pixels(start.config.network, start.vae.factor, blocks=1)
    network = config.around(start.network, key=jax.random.key(1))
    model = start.with_network(moved_weights(network, 0.05, np.random.default_rng(1)), config)
    save_pretrained(tmp_path / "saved", model)
    loaded = load_pretrained(tmp_path / "saved")
    assert loaded.config == model.config
    for one, two in zip(*map(jax.tree.leaves, (loaded.network, model.network)), strict=True):
        np.testing.assert_array_equal(one, two)
    sampler = ControlToImage(loaded)
    first, second = (
        sampler(controls, ["a red circle"], steps=2, guidance_scale=2.0)
        for controls in (random_images(1, 16, 24, 3), 255 - random_images(1, 16, 24, 3))
    )
    assert first.shape == (1, 16, 24, 3) and np.isfinite(first).all()
    assert np.abs(first - second).max() > 1e-3


def test_what_does_not_fit_the_vae_is_refused():
    config = dit_preset("tiny", **SMALL, **LATENT)
    model = model_of(config)
    other = dataclasses.replace(config, in_channels=3)
    with pytest.raises(ValueError, match="takes 3 channels and its VAE makes 2"):
        TextToImage(model.with_network(model.network, other))
