"""This library's own layout, a folder that holds any model exactly.

model.json              the model's config
network.safetensors     the network, by the names of its attributes
vae/, text_encoder/, tokenizer/    as diffusers and transformers save them

A model that ships with this package has the first two, and takes the packaged VAE and MiniLM.
"""

import os
from pathlib import Path

from jax.sharding import Mesh
from jax.typing import DTypeLike
from jaxtyping import PyTree

from ..interop import (
    load_minilm,
    load_vae,
    Pair,
    read_weights,
    SafetensorsFile,
    save_safetensors,
    write_weights,
)
from ..interop.config import write_config
from ..interop.mapping import Advance, named_arrays, template_of
from ..latents import VAE
from ..pipeline import LatentDiffusion
from ..runtime import to_json
from ..text import AbstractTextEncoder
from .frozen_parts import check_width, load_frozen, save_frozen
from .model_json import MODEL, read_model_config
from .shipped import SHIPPED

NETWORK = "network.safetensors"


def is_own_folder(path: Path) -> bool:
    """Whether a folder was written by `save_own`."""
    return (path / MODEL).is_file() and (path / NETWORK).is_file()


def load_own(
    folder: str | os.PathLike[str],
    *,
    dtype: DTypeLike = "float32",
    mesh: Mesh | None = None,
    advance: Advance = lambda size: None,
) -> LatentDiffusion:
    """Reads what `save_own` wrote; arguments as of `load_diffusers`."""
    folder = Path(folder)
    config = read_model_config(folder)
    template = template_of(config.network, mesh=mesh, source=folder / MODEL)
    if folder in SHIPPED.values():
        vae: VAE = load_vae(dtype=dtype)
        text_encoder: AbstractTextEncoder = load_minilm(max_tokens=config.max_tokens, dtype=dtype)
    else:
        vae, text_encoder = load_frozen(
            folder, max_tokens=config.max_tokens, dtype=dtype, advance=advance
        )
    check_width(config.network, text_encoder.width, folder)
    file = folder / NETWORK
    network = read_weights(
        template,
        own_table(template),
        SafetensorsFile(file),
        dtype=dtype,
        source=file,
        advance=advance,
    )
    return LatentDiffusion(network, vae, text_encoder, config)


def save_own(
    folder: str | os.PathLike[str],
    model: LatentDiffusion,
    *,
    dtype: DTypeLike | None = None,
    advance: Advance = lambda size: None,
) -> None:
    """Writes any model; arguments as of `save_diffusers`."""
    folder = Path(folder)
    tensors = write_weights(model.network, own_table(model.network), dtype=dtype)
    save_safetensors(folder / NETWORK, tensors, advance=advance)
    save_frozen(folder, model, dtype=dtype, advance=advance)
    write_config(folder, to_json(model.config), file=MODEL)


def own_table(network: PyTree) -> list[Pair]:
    """Every array by its attribute path, with dots: `down.0.stages.1.block.conv1.weight`."""
    return [Pair(name, name) for name in named_arrays(network)]
