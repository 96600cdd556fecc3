"""A data set and a VAE so small that a recipe's time is its start."""

import jax
import pytest
from model_folders import clip_model, UNET
from small_models import captioned_folder

from equildm.interop import save_lora, save_vae, unet_table
from equildm.latents import VAEConfig
from equildm.nn import new_lora
from equildm.pretrained import save_pretrained


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A folder of captioned images."""
    return captioned_folder(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def vae(tmp_path_factory):
    """A folder with a VAE of fresh weights."""
    folder = tmp_path_factory.mktemp("vae")
    config = VAEConfig(width=8, multipliers=(1, 1, 1), depth=1, groups=4, scale=1.0)
    save_vae(folder, config.build(key=jax.random.key(0)))
    return folder


@pytest.fixture
def options(pictures, vae, tmp_path):
    """Of pretrain.py: what it needs, and nothing that takes time."""
    return [
        *("--data", str(pictures), "--vae", str(vae), "--cache", str(tmp_path / "cache")),
        *("--size", "32", "--batch-size", "4", "--warmup", "4", "--held-out", "0"),
        *("--log-every", "1", "--save-every", "4", "--prompts"),
    ]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A small Stable Diffusion with fresh weights in `model/`, and adapters for it."""
    path = tmp_path_factory.mktemp("weights")
    model = clip_model(path / "vocabulary")
    save_pretrained(path / "model", model)
    adapters = new_lora(model.network, 2, key=jax.random.key(3))
    adapters = jax.tree.map(lambda leaf: leaf + 0.3, adapters)
    save_lora(path / "lora.safetensors", {"unet": adapters}, {"unet": unet_table(UNET)})
    return path
