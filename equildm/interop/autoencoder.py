"""`diffusers.AutoencoderKL`, in and out: a folder with `config.json` and safetensors."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jax.sharding import Mesh
from jax.typing import DTypeLike

from ..latents import VAE, VAEConfig
from .config import check_fields, read_config, write_config
from .config_fields import (
    Fields,
    finite_float,
    flag,
    MAX_LAYERS,
    multiples,
    positive_float,
    positive_int,
)
from .mapping import Advance, fill, write_weights
from .pairs import conv, linear, norm, Pair
from .shards import DIFFUSERS, open_weights, save_weights

NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "out": "to_out.0"}
OLD_NAMES = {"query": "query", "key": "key", "value": "value", "out": "proj_attn"}
"""Names of the attention's parts: those of today, and those in Stable Diffusion 1's own files."""
OLD_ATTENTION = "encoder.mid_block.attentions.0.query.weight"


def autoencoder_table(config: VAEConfig, *, attention: Mapping[str, str] = NAMES) -> list[Pair]:
    """`AutoencoderKL`'s tensors for a VAE of these sizes."""
    channels = [config.width * multiplier for multiplier in config.multipliers]
    return [
        *conv("encoder.conv_in", "encoder.conv_in"),
        *_encoder_levels(channels, config.depth),
        *_middle("encoder", attention),
        *norm("encoder.norm_out", "encoder.conv_norm_out"),
        *conv("encoder.conv_out", "encoder.conv_out"),
        *(conv("quant_conv", "quant_conv") if config.quant_convs else ()),
        *(conv("post_quant_conv", "post_quant_conv") if config.quant_convs else ()),
        *conv("decoder.conv_in", "decoder.conv_in"),
        *_middle("decoder", attention),
        *_decoder_levels(channels[::-1], config.depth + 1),
        *norm("decoder.norm_out", "decoder.conv_norm_out"),
        *conv("decoder.conv_out", "decoder.conv_out"),
    ]


def _encoder_levels(channels: list[int], blocks: int) -> Iterable[Pair]:
    for i, (before, out) in enumerate(zip([channels[0], *channels], channels, strict=False)):
        ours, theirs = f"encoder.levels.{i}", f"encoder.down_blocks.{i}"
        yield from _blocks(ours, theirs, blocks, before != out)
        if i < len(channels) - 1:
            yield from conv(f"{ours}.downsample.conv", f"{theirs}.downsamplers.0.conv")


def _decoder_levels(channels: list[int], blocks: int) -> Iterable[Pair]:
    for i, (before, out) in enumerate(zip([channels[0], *channels], channels, strict=False)):
        ours, theirs = f"decoder.levels.{i}", f"decoder.up_blocks.{i}"
        yield from _blocks(ours, theirs, blocks, before != out)
        if i < len(channels) - 1:
            yield from conv(f"{ours}.upsample.conv", f"{theirs}.upsamplers.0.conv")


def _blocks(ours: str, theirs: str, count: int, first_has_skip: bool) -> Iterable[Pair]:
    for j in range(count):
        yield from _resblock(
            f"{ours}.blocks.{j}", f"{theirs}.resnets.{j}", skip=first_has_skip and j == 0
        )


def _middle(side: str, attention: Mapping[str, str]) -> Iterable[Pair]:
    ours, theirs = f"{side}.middle", f"{side}.mid_block"
    yield from _resblock(f"{ours}.first", f"{theirs}.resnets.0")
    yield from norm(f"{ours}.attention.norm", f"{theirs}.attentions.0.group_norm")
    for part, name in attention.items():
        yield from linear(f"{ours}.attention.attention.to_{part}", f"{theirs}.attentions.0.{name}")
    yield from _resblock(f"{ours}.second", f"{theirs}.resnets.1")


def _resblock(ours: str, theirs: str, *, skip: bool = False) -> Iterable[Pair]:
    yield from norm(f"{ours}.norm1", f"{theirs}.norm1")
    yield from conv(f"{ours}.conv1", f"{theirs}.conv1")
    yield from norm(f"{ours}.norm2", f"{theirs}.norm2")
    yield from conv(f"{ours}.conv2", f"{theirs}.conv2")
    if skip:
        yield from conv(f"{ours}.skip", f"{theirs}.conv_shortcut")


def load_vae(
    folder: str | os.PathLike[str] | None = None,
    *,
    dtype: DTypeLike = "float32",
    mesh: Mesh | None = None,
    advance: Advance = lambda size: None,
) -> VAE:
    """Reads a VAE: Stable Diffusion 1's, 2's, XL's, or another of that architecture.

    **Arguments:**

    - `folder`: as diffusers saves one; by default the small one for 64 x 64 emoji that comes with
        this package (see `recipes/train_vae.py`).
    - `dtype`: of the arrays in memory; `"stored"` keeps the file's, `"mapped"` reads nothing yet,
        see `load_pretrained`.
    - `mesh`: where they go, each straight to its shards; by default on the first device.
    - `advance`: called with the bytes of each tensor.

    **Raises** `ValueError` for a folder, a configuration or tensors that are not such a VAE's.
    """
    folder = shipped_vae() if folder is None else Path(folder)
    config = read_config(folder, "an AutoencoderKL", _from_diffusers)
    weights = open_weights(folder, DIFFUSERS)
    old = OLD_ATTENTION in weights
    table = autoencoder_table(config, attention=OLD_NAMES if old else NAMES)
    return fill(config, table, weights, dtype=dtype, mesh=mesh, source=folder, advance=advance)


def save_vae(
    folder: str | os.PathLike[str],
    vae: VAE,
    *,
    dtype: DTypeLike | None = None,
    advance: Advance = lambda size: None,
) -> None:
    """Writes a folder that `diffusers.AutoencoderKL.from_pretrained` opens.

    **Arguments:**

    - `folder`: created where it does not exist.
    - `vae`: the VAE, whose `config` gives the sizes.
    - `dtype`: of the tensors in the file, by default as in memory.
    - `advance`: called with the bytes of each tensor.
    """
    config = vae.config
    tensors = write_weights(vae, autoencoder_table(config), dtype=dtype)
    save_weights(folder, DIFFUSERS, tensors, advance=advance)
    write_config(folder, _to_diffusers(config))


def shipped_vae() -> Path:
    """The folder of the VAE that comes with this package."""
    return Path(__file__).parents[1] / "latents" / "emoji_vae"


_FIXED: dict[str, Any] = {
    "_class_name": "AutoencoderKL",
    "act_fn": "silu",
    "mid_block_add_attention": True,
    "latents_mean": None,
    "latents_std": None,
}
"""Fields that are the same for every VAE of this kind."""


def _to_diffusers(config: VAEConfig) -> Fields:
    levels = len(config.multipliers)
    return {
        **_FIXED,
        "use_quant_conv": config.quant_convs,
        "use_post_quant_conv": config.quant_convs,
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


def _from_diffusers(fields: Fields) -> VAEConfig:
    if "_class_name" not in fields:
        raise KeyError("_class_name")
    width, multipliers = multiples(fields, "block_out_channels")
    levels = len(multipliers)
    quant_convs = flag(fields, "use_quant_conv", True)
    if flag(fields, "use_post_quant_conv", True) != quant_convs:
        raise ValueError(
            f"use_quant_conv is {quant_convs} and use_post_quant_conv is {not quant_convs}, and "
            "only both or neither are supported"
        )
    check_fields(
        fields,
        {
            **_FIXED,
            "down_block_types": ["DownEncoderBlock2D"] * levels,
            "up_block_types": ["UpDecoderBlock2D"] * levels,
            "out_channels": fields["in_channels"],
        },
    )
    return VAEConfig(
        width=width,
        multipliers=multipliers,
        depth=positive_int(fields, "layers_per_block", most=MAX_LAYERS),
        latent_channels=positive_int(fields, "latent_channels"),
        image_channels=positive_int(fields, "in_channels"),
        groups=positive_int(fields, "norm_num_groups", 32),
        scale=positive_float(fields, "scaling_factor", 0.18215),
        shift=0.0 if fields.get("shift_factor") is None else finite_float(fields, "shift_factor"),
        quant_convs=quant_convs,
    )
