"""A data set and a VAE so small that a recipe's time is its start."""

import json

import jax
import pytest
from PIL import Image

from equildm.data import ShapesSource
from equildm.interop import save_vae
from equildm.latents import VAEConfig


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
