"""This library's own layout, a folder that holds any model exactly.

model.json              the model's config
network.safetensors     the network, by the names of its attributes
vae/, text_encoder/, tokenizer/    as diffusers and transformers save them
"""

import os
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
from jax.sharding import Mesh
from jax.typing import DTypeLike
from jaxtyping import PyTree

from ..interop import (
    load_text_encoder,
    load_vae,
    Pair,
    SafetensorsFile,
    save_safetensors,
    save_text_encoder,
    save_vae,
    write_weights,
)
from ..interop.mapping import Advance, fill
from ..pipeline import LatentDiffusion
from .model_json import MODEL, read_model_config, write_model_config

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
    text_encoder = load_text_encoder(
        folder / "text_encoder",
        folder / "tokenizer",
        max_tokens=config.max_tokens,
        dtype=dtype,
        advance=advance,
    )
    vae = load_vae(folder / "vae", dtype=dtype, advance=advance)
    file = folder / NETWORK
    network: Any = fill(
        config.network,
        own_table(eqx.filter_eval_shape(config.network.build, key=jax.random.key(0))),
        SafetensorsFile(file),
        dtype=dtype,
        mesh=mesh,
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
    save_vae(folder / "vae", model.vae, dtype=dtype, advance=advance)
    save_text_encoder(
        folder / "text_encoder",
        model.text_encoder,
        folder / "tokenizer",
        dtype=dtype,
        advance=advance,
    )
    write_model_config(folder, model.config)


def own_table(network: PyTree) -> list[Pair]:
    """Every array by its attribute path, with dots: `down.0.stages.1.block.conv1.weight`."""
    arrays = eqx.filter(network, lambda x: eqx.is_array(x) or isinstance(x, jax.ShapeDtypeStruct))
    leaves = jax.tree_util.tree_leaves_with_path(arrays)
    names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]
    return [Pair(name, name) for name in names]
