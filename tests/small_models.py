"""A whole model so small that what a test does with it compiles at once."""

import dataclasses
import json
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree
from PIL import Image

from equildm.data import ShapesSource
from equildm.denoise import UNetConfig
from equildm.interop import load_minilm
from equildm.latents import VAEConfig
from equildm.noise import NoiseConfig
from equildm.pipeline import LatentDiffusion, new_model
from equildm.runtime import make_mesh

UNET = UNetConfig(
    8,
    in_channels=2,
    out_channels=2,
    context_width=384,
    multipliers=(1, 2),
    depths=(1, 1),
    transformer_depths=(1, 0),
    heads=2,
    groups=4,
)
ONE_LEVEL = dataclasses.replace(UNET, multipliers=(1,), depths=(1,), transformer_depths=(1,))
"""Compiles in half the time."""
VAE = VAEConfig(
    width=4, multipliers=(1, 1), depth=1, latent_channels=2, groups=2, scale=0.5, shift=0.1
)


def small_model(image_size: int = 16) -> LatentDiffusion:
    """Fresh weights, captions by MiniLM, latents half as large as the images."""
    return new_model(
        ONE_LEVEL,
        VAE.build(key=jax.random.key(0)),
        load_minilm(max_tokens=8),
        image_size=image_size,
        noise=NoiseConfig(),
        mesh=make_mesh(""),
    )


def moved_weights(tree: PyTree, scale: float, random: np.random.Generator) -> PyTree:
    """Every weight moved off its initial value: no zero, scale or bias is without effect."""

    def moved(leaf: object) -> object:
        if not eqx.is_array(leaf):
            return leaf
        noise = scale * random.standard_normal(leaf.shape).astype(np.float32)
        return jax.device_put(np.asarray(leaf) + noise)  # numpy compiles nothing

    return jax.tree.map(moved, tree)


def captioned_folder(folder: Path, count: int = 40) -> Path:
    """A folder of generated shapes with their captions."""
    folder.mkdir(exist_ok=True)
    source = ShapesSource(side=32, count=count)
    lines = []
    for i in range(count):
        Image.fromarray(source.image(i)).save(folder / f"{i}.png")
        lines.append(json.dumps({"file_name": f"{i}.png", "text": source.caption(i)}))
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def random_images(*shape: int) -> np.ndarray:
    """8-bit pixels."""
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)
