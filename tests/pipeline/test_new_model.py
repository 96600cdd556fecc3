"""Fresh models: their sizes, and sizes that cannot be."""

import dataclasses

import jax
import pytest
from model_folders import clip_model, VAE

from equildm.denoise import GuidanceEmbeddingConfig
from equildm.noise import NoiseConfig, Velocity, ZeroTerminalSNR
from equildm.pipeline import backbone_for, new_model
from equildm.runtime import make_mesh


@pytest.fixture(scope="module")
def text_encoder(tmp_path_factory):
    return clip_model(tmp_path_factory.mktemp("tokenizer")).text_encoder


def test_sizes_fit_the_parts(text_encoder):
    vae = VAE.build(key=jax.random.key(0))
    unet = backbone_for("unet", 8, vae, text_encoder)
    assert (unet.width, unet.in_channels, unet.context_width) == (8, 4, 64)
    noise = NoiseConfig("scaled-linear-zero-snr")
    mesh = make_mesh("")
    model = new_model(unet, vae, text_encoder, image_size=32, noise=noise, mesh=mesh)
    assert model.config.latent_shape == (16, 16, 4) and model.config.max_tokens == 77
    assert isinstance(model.schedule, ZeroTerminalSNR) and model.prediction == Velocity()
    levels = model.levels(4)
    assert len(levels) == 5 and levels[-1] == 0  # trailing steps that end clean
    with pytest.raises(ValueError, match=r"multiples of 16 .*received 40. Use for instance 32"):
        new_model(unet, vae, text_encoder, image_size=40, noise=noise, mesh=mesh)
    for wrong in ({"in_channels": 8}, {"context_width": 384}):
        other = GuidanceEmbeddingConfig(dataclasses.replace(unet, **wrong))
        with pytest.raises(ValueError, match="for a VAE of 4 channels and tokens of width 64"):
            new_model(other, vae, text_encoder, image_size=32, noise=noise, mesh=mesh)
