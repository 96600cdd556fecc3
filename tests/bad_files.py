"""A pipeline in files for tests that damage them, and how each of its parts is read."""

from pathlib import Path

import jax
import jax.numpy as jnp
from text_folders import clip_folder

from equildm.denoise import UNetConfig
from equildm.interop import (
    clip_table,
    load_scheduler,
    load_text_encoder,
    load_unet,
    load_vae,
    save_lora,
    Scheduler,
)
from equildm.latents import VAEConfig
from equildm.nn import LoRAWeights
from equildm.pretrained import load_diffusers, save_diffusers, save_single_file, stable_diffusion
from equildm.text import CLIPConfig, CLIPText, read_tokenizer

UNET = UNetConfig(32, context_width=64, multipliers=(1,), depths=(1,), transformer_depths=(1,))
VAE = VAEConfig(32, multipliers=(1, 1), depth=1)
CLIP = CLIPConfig(vocabulary=900, width=64, depth=1, heads=1, hidden=8, longest=9)
TABLE = clip_table(CLIP.depth)
PIPELINE = {
    "unet": ("config.json", "diffusion_pytorch_model", load_unet),
    "vae": ("config.json", "diffusion_pytorch_model", load_vae),
    "text_encoder": (
        "config.json",
        "model",
        lambda f: load_text_encoder(f, f.parent / "tokenizer"),
    ),
    "scheduler": ("scheduler_config.json", None, load_scheduler),
    ".": ("model_index.json", None, load_diffusers),
}
MODELS = [part for part, (_, stem, _) in PIPELINE.items() if stem]


def make_pipeline(folder: Path) -> Path:
    """A pipeline's folder, its single file `model.safetensors` and a LoRA `lora.safetensors`."""
    clip_folder(folder / "vocabulary")
    tokenizer = read_tokenizer(folder / "vocabulary", "clip")
    key = jax.random.key(0)
    text = CLIPText(CLIP.build(key=key), tokenizer, CLIP.longest)
    unet, vae = UNET.build(key=key), VAE.build(key=key)
    model = stable_diffusion(unet, UNET, vae, text, Scheduler())
    save_diffusers(folder, model)
    save_single_file(folder / "model.safetensors", model)
    factors = LoRAWeights(jnp.ones((64, 2)), jnp.ones((2, 64)), 2.0)
    adapters = {"layers.0.attention.to_query": factors}
    save_lora(folder / "lora.safetensors", {"text_encoder": adapters}, {"text_encoder": TABLE})
    return folder


def put(file: Path, content: bytes) -> None:
    """A new file: to write over the old one waits for the disk, and would change what is mapped."""
    file.unlink(missing_ok=True)
    file.write_bytes(content)


def weights(folder: Path, part: str) -> Path:
    return folder / part / f"{PIPELINE[part][1]}.safetensors"
