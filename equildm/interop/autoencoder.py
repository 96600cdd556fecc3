"""`diffusers.AutoencoderKL`, in and out: a folder with `config.json` and safetensors."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax

from ..latents import VAE, VAEConfig
from .mapping import conv, linear, norm, Pair, read_weights, write_weights
from .safetensors import SafetensorsFile, save_safetensors

WEIGHTS = "diffusion_pytorch_model.safetensors"
CONFIG = "config.json"


def autoencoder_table(config: VAEConfig) -> list[Pair]:
    """`AutoencoderKL`'s tensors for a VAE of these sizes."""
    channels = [config.width * multiplier for multiplier in config.multipliers]
    return [
        *conv("encoder.conv_in", "encoder.conv_in"),
        *_encoder_levels(channels, config.depth),
        *_middle("encoder"),
        *norm("encoder.norm_out", "encoder.conv_norm_out"),
        *conv("encoder.conv_out", "encoder.conv_out"),
        *conv("quant_conv", "quant_conv"),
        *conv("post_quant_conv", "post_quant_conv"),
        *conv("decoder.conv_in", "decoder.conv_in"),
        *_middle("decoder"),
        *_decoder_levels(channels[::-1], config.depth + 1),
        *norm("decoder.norm_out", "decoder.conv_norm_out"),
        *conv("decoder.conv_out", "decoder.conv_out"),
    ]


def _encoder_levels(channels: list[int], blocks: int) -> Iterable[Pair]:
    for i, (before, now) in enumerate(zip([channels[0], *channels], channels, strict=False)):
        ours, theirs = f"encoder.levels.{i}", f"encoder.down_blocks.{i}"
        yield from _blocks(ours, theirs, blocks, before != now)
        if i < len(channels) - 1:
            yield from conv(f"{ours}.downsample.conv", f"{theirs}.downsamplers.0.conv")


def _decoder_levels(channels: list[int], blocks: int) -> Iterable[Pair]:
    for i, (before, now) in enumerate(zip([channels[0], *channels], channels, strict=False)):
        ours, theirs = f"decoder.levels.{i}", f"decoder.up_blocks.{i}"
        yield from _blocks(ours, theirs, blocks, before != now)
        if i < len(channels) - 1:
            yield from conv(f"{ours}.upsample.conv", f"{theirs}.upsamplers.0.conv")


def _blocks(ours: str, theirs: str, count: int, first_has_skip: bool) -> Iterable[Pair]:
    for j in range(count):
        yield from _resblock(
            f"{ours}.blocks.{j}", f"{theirs}.resnets.{j}", skip=first_has_skip and j == 0
        )


def _middle(side: str) -> Iterable[Pair]:
    ours, theirs = f"{side}.middle", f"{side}.mid_block"
    yield from _resblock(f"{ours}.first", f"{theirs}.resnets.0")
    yield from norm(f"{ours}.attention.norm", f"{theirs}.attentions.0.group_norm")
    for part, name in (("query", "q"), ("key", "k"), ("value", "v"), ("out", "out.0")):
        yield from linear(
            f"{ours}.attention.attention.to_{part}", f"{theirs}.attentions.0.to_{name}"
        )
    yield from _resblock(f"{ours}.second", f"{theirs}.resnets.1")


def _resblock(ours: str, theirs: str, *, skip: bool = False) -> Iterable[Pair]:
    yield from norm(f"{ours}.norm1", f"{theirs}.norm1")
    yield from conv(f"{ours}.conv1", f"{theirs}.conv1")
    yield from norm(f"{ours}.norm2", f"{theirs}.norm2")
    yield from conv(f"{ours}.conv2", f"{theirs}.conv2")
    if skip:
        yield from conv(f"{ours}.skip", f"{theirs}.conv_shortcut")


def load_vae(folder: str | os.PathLike[str] | None = None) -> tuple[VAE, VAEConfig]:
    """Reads a VAE, float32 in memory whatever the file's dtype.

    **Arguments:**

    - `folder`: as diffusers saves one; by default the small one for 64 x 64 emoji that comes with
        this package (see `recipes/train_vae.py`).

    **Raises** `ValueError` for a folder, a configuration or tensors that are not such a VAE's.
    """
    folder = shipped_vae() if folder is None else Path(folder)
    config = _read_config(folder / CONFIG)
    template = eqx.filter_eval_shape(config.build, key=jax.random.key(0))
    file = SafetensorsFile(folder / WEIGHTS)
    return read_weights(template, autoencoder_table(config), file, source=file.path), config


def save_vae(
    folder: str | os.PathLike[str], vae: VAE, config: VAEConfig, *, dtype: str = "float32"
) -> None:
    """Writes a folder that `diffusers.AutoencoderKL.from_pretrained` opens."""
    folder = Path(folder)
    save_safetensors(folder / WEIGHTS, write_weights(vae, autoencoder_table(config), dtype=dtype))
    (folder / CONFIG).write_text(json.dumps(_written(config), indent=2) + "\n", encoding="utf-8")


def shipped_vae() -> Path:
    """The folder of the VAE that comes with this package."""
    return Path(__file__).parents[1] / "latents" / "emoji_vae"


def _written(config: VAEConfig) -> dict[str, Any]:
    levels = len(config.multipliers)
    return {
        "_class_name": "AutoencoderKL",
        "act_fn": "silu",
        "block_out_channels": [config.width * multiplier for multiplier in config.multipliers],
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "in_channels": config.image_channels,
        "out_channels": config.image_channels,
        "latent_channels": config.latent_channels,
        "layers_per_block": config.depth,
        "norm_num_groups": config.groups,
        "scaling_factor": config.scale,
        "shift_factor": config.shift or None,
    }


def _read_config(file: Path) -> VAEConfig:
    if not file.is_file():
        raise ValueError(
            f"A VAE's folder holds {CONFIG} and {WEIGHTS}; there is no {file}. Give the folder "
            "itself, such as the `vae` of a pipeline."
        )
    try:
        written = json.loads(file.read_text(encoding="utf-8"))
        if written["_class_name"] != "AutoencoderKL":
            raise ValueError(f"_class_name is {written['_class_name']!r}, not 'AutoencoderKL'")
        channels = written["block_out_channels"]
        width = channels[0]
        if any(count % width for count in channels):
            raise ValueError(f"block_out_channels {channels} are not multiples of the first")
        return VAEConfig(
            width=width,
            multipliers=tuple(count // width for count in channels),
            depth=written["layers_per_block"],
            latent_channels=written["latent_channels"],
            image_channels=written["in_channels"],
            groups=written["norm_num_groups"],
            scale=float(written.get("scaling_factor", 0.18215)),
            shift=float(written.get("shift_factor") or 0.0),
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(
            f"{file} must describe an AutoencoderKL, and does not: {error!r}. Give the `vae` "
            "folder of a Stable Diffusion pipeline, or one that save_vae wrote."
        ) from error
