"""A data set and a VAE so small that a recipe's time is its start."""

import jax
import pytest
from helpers import run_python
from model_folders import clip_model, UNET
from small_models import captioned_folder, small_model

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


@pytest.fixture(scope="session")
def start(tmp_path_factory):
    """A folder with a small model for images of 32 pixels."""
    path = tmp_path_factory.mktemp("start") / "model"
    save_pretrained(path, small_model(32), layout="equildm")
    return path


@pytest.fixture(scope="session")
def small_start(pictures, tmp_path_factory):
    """Of inpaint.py and controlnet.py: what they need, and four steps from a small model."""
    path = tmp_path_factory.mktemp("small_start") / "model"
    save_pretrained(path, small_model(), layout="equildm")
    return [
        *("--start", str(path), "--data", str(pictures), "--size", "16"),
        *("--held-out", "0.3", "--batch-size", "4", "--warmup", "1", "--preview-count", "2"),
        *("--log-every", "1", "--preview-every", "100", "--ema", "decay-0.95"),
        *("--steps", "4", "--save-every", "2"),
    ]


@pytest.fixture(scope="module")
def run(request, small_start, tmp_path_factory):
    """A run of the module's RECIPE with those options."""
    path = tmp_path_factory.mktemp("runs") / "run"
    run_python(request.module.RECIPE, "--run", str(path), *small_start, devices=1)
    return path
