"""The frozen parts of a model in a folder: a VAE, and a text encoder with its tokenizer.

vae/                            as diffusers saves it
text_encoder/, tokenizer/       as transformers saves them
"""

from pathlib import Path

from jax.typing import DTypeLike

from ..denoise import AbstractBackboneConfig, AbstractNetworkConfig
from ..interop import (
    autoencoder_table,
    load_sd3_text,
    load_text_encoder,
    load_vae,
    save_sd3_text,
    save_text_encoder,
    save_vae,
)
from ..interop.mapping import Advance
from ..interop.sd3_text import sd3_text_tables
from ..interop.text_encoders import text_table
from ..latents import VAE
from ..pipeline import LatentDiffusion
from ..text import AbstractTextEncoder, SD3Text
from .part_table import PartTable


def load_frozen(
    folder: Path, *, max_tokens: int | None = None, dtype: DTypeLike, advance: Advance
) -> tuple[VAE, AbstractTextEncoder]:
    """Reads what `save_frozen` wrote; `max_tokens` as of `load_text_encoder`."""
    if (folder / "text_encoder_3").is_dir():
        encoder = load_sd3_text(folder, max_tokens=max_tokens or 77, dtype=dtype, advance=advance)
        return load_vae(folder / "vae", dtype=dtype, advance=advance), encoder
    text_encoder = load_text_encoder(
        folder / "text_encoder",
        folder / "tokenizer",
        max_tokens=max_tokens,
        dtype=dtype,
        advance=advance,
    )
    return load_vae(folder / "vae", dtype=dtype, advance=advance), text_encoder


def save_frozen(
    folder: Path, model: LatentDiffusion, *, dtype: DTypeLike | None, advance: Advance
) -> None:
    """Writes the folders; arguments as of `save_diffusers`."""
    save_vae(folder / "vae", model.vae, dtype=dtype, advance=advance)
    if isinstance(model.text_encoder, SD3Text):
        save_sd3_text(folder, model.text_encoder, dtype=dtype, advance=advance)
        return
    save_text_encoder(
        folder / "text_encoder",
        model.text_encoder,
        folder / "tokenizer",
        dtype=dtype,
        advance=advance,
    )


def frozen_tables(model: LatentDiffusion) -> list[PartTable]:
    """The parts and the names of their tensors."""
    vae = PartTable("vae", model.vae, autoencoder_table(model.vae.config))
    if isinstance(model.text_encoder, SD3Text):
        return [vae, *(PartTable(*part) for part in sd3_text_tables(model.text_encoder))]
    return [vae, PartTable("text_encoder", *text_table(model.text_encoder))]


def check_width(network: AbstractNetworkConfig, width: int, source: object) -> None:
    """Raises `ValueError` where the network attends to captions of another width than this."""
    backbone = network.backbone
    if isinstance(backbone, AbstractBackboneConfig) and backbone.context_width != width:
        raise ValueError(
            f"{source}: the network takes captions of width {backbone.context_width}, and the text "
            f"encoder gives {width}. They belong to different models."
        )
