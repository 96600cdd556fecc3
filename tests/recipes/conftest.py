"""A data set and a VAE so small that a recipe's time is its start."""

import json

import jax
import pytest
from PIL import Image
from text_folders import clip_folder

from equildm.data import ShapesSource
from equildm.denoise import UNetConfig
from equildm.interop import (
    clip_table,
    save_lora,
    save_stable_diffusion,
    save_vae,
    Scheduler,
    StableDiffusion,
    unet_table,
)
from equildm.latents import VAEConfig
from equildm.nn import new_adapters
from equildm.text import CLIPConfig, CLIPText, read_tokenizer

UNET = UNetConfig(
    32, context_width=64, multipliers=(1, 1), depths=(1, 1), transformer_depths=(1, 0)
)
LEVELS = {"multipliers": (1, 1), "depth": 1}


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    source = ShapesSource(side=32, count=40)
    with (folder / "metadata.jsonl").open("w") as lines:
        for i in range(len(source)):
            Image.fromarray(source.image(i)).save(folder / f"{i}.png")
            lines.write(json.dumps({"file_name": f"{i}.png", "text": source.caption(i)}) + "\n")
    return folder


@pytest.fixture(scope="session")
def vae(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vae")
    config = VAEConfig(width=8, multipliers=(1, 1, 1), depth=1, groups=4, scale=1.0)
    save_vae(folder, config.build(key=jax.random.key(0)), config)
    return folder


@pytest.fixture
def options(pictures, vae, tmp_path):
    """Of pretrain.py: what it needs, and nothing that takes time."""
    return [
        *("--data", str(pictures), "--vae", str(vae), "--cache", str(tmp_path / "cache")),
        *("--size", "32", "--batch-size", "4", "--warmup", "4", "--held-out", "0"),
        *("--every.log", "1", "--every.save", "4", "--prompts"),
    ]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A small Stable Diffusion with fresh weights."""
    path = tmp_path_factory.mktemp("weights")
    vocabulary = clip_folder(path / "vocabulary")
    unet, vae, clip = (jax.random.key(i) for i in range(3))
    vae_config = VAEConfig(width=32, **LEVELS)
    tower = CLIPConfig(vocabulary=vocabulary, width=64, depth=1, heads=1).build(key=clip)
    text = CLIPText(tower, read_tokenizer(path / "vocabulary", "clip"))
    parts = (UNET.build(key=unet), UNET, vae_config.build(key=vae), vae_config, text)
    model = StableDiffusion(*parts, Scheduler(), sample_size=8)
    save_stable_diffusion(path / "model", model)
    adapters = new_adapters(model.unet, 2, key=jax.random.key(3))
    adapters = jax.tree.map(lambda leaf: leaf + 0.3, adapters)
    tables = {"unet": unet_table(UNET), "text_encoder": clip_table(1)}
    save_lora(path / "lora.safetensors", {"unet": adapters}, tables)
    return path
