"""A Stable Diffusion in one safetensors file, with the names of the original code.

model.diffusion_model.*             the UNet
first_stage_model.*                 the VAE
cond_stage_model.transformer.*      CLIP, in Stable Diffusion 1
cond_stage_model.model.*            OpenCLIP, in Stable Diffusion 2
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jax.typing import DTypeLike

from ..interop.clip import clip_table, OPENCLIP_IGNORED, openclip_table
from ..interop.compvis import compvis_autoencoder_table, compvis_unet_table
from ..interop.mapping import Advance, fill, write_weights
from ..interop.safetensors import SafetensorsFile
from ..interop.saving import LazyTensors, save_safetensors
from ..interop.shards import Below
from ..interop.text_encoders import tokenizer_for
from ..pipeline import LatentDiffusion
from ..text import CLIPText
from .diffusers_folder import diffusers_network
from .frozen_parts import check_width
from .part_table import PartTable
from .single_file_record import (
    CLIP,
    infer_record,
    is_open_clip,
    OPENCLIP,
    PredictionKind,
    read_record,
    SingleFileRecord,
    UNET,
    VAE,
)

PARTS = (UNET, VAE, "cond_stage_model.")
IGNORED = ("model_ema.", "loss.")
"""Prefixes of averages and losses of the training."""


def load_single_file(
    path: str | os.PathLike[str],
    tokenizer_folder: str | os.PathLike[str],
    *,
    prediction: PredictionKind | None = None,
    heads: int | Sequence[int] | None = None,
    scale: float = 0.18215,
    dtype: DTypeLike = "float32",
    mesh: Mesh | None = None,
    advance: Advance = lambda size: None,
) -> LatentDiffusion:
    """Reads Stable Diffusion 1 or 2, or a model of that architecture at any width.

    A file of `save_single_file` records the configs of its parts in its header. For other files,
    sizes are inferred from the shapes of the tensors, and you supply what no shape tells:
    `prediction`, `heads` and `scale`.

    **Arguments:**

    - `path`: the `.safetensors` file.
    - `tokenizer_folder`: CLIP's vocabulary and merges, which the file does not hold.
    - `prediction`: what the UNet predicts; by default noise where captions are up to 768 wide
        (Stable Diffusion 1) and velocity above (2). Stable Diffusion 2's `base` predicts noise:
        pass `"epsilon"`.
    - `heads`: of the UNet's attention; by default see `infer_unet_config`.
    - `scale`: of the VAE's latents.
    - `dtype`, `mesh`, `advance`: see `load_diffusers`.

    **Raises** `ValueError` naming the file and the tensor that is missing, wrong or unknown.
    """
    file = SafetensorsFile(path)
    shapes = file.shapes()
    _check_names(file.path, shapes)
    record = read_record(file) or infer_record(
        file.path, shapes, prediction=prediction, heads=heads, scale=scale
    )
    tokenizer = tokenizer_for(record.text, tokenizer_folder, "clip", file.path)
    network = diffusers_network(record.model.network)
    check_width(network, record.text.width, file.path)
    unet: Any = fill(
        network,
        compvis_unet_table(network),
        Below(file, UNET),
        dtype=dtype,
        mesh=mesh,
        source=file.path,
        advance=advance,
    )
    vae = fill(
        record.vae,
        compvis_autoencoder_table(record.vae),
        Below(file, VAE),
        dtype=dtype,
        source=file.path,
        advance=advance,
    )
    depth, open_clip = record.text.depth, is_open_clip(shapes)
    tower = fill(
        record.text,
        openclip_table(depth) if open_clip else clip_table(depth, ""),
        Below(file, OPENCLIP if open_clip else CLIP),
        dtype=dtype,
        ignored=OPENCLIP_IGNORED if open_clip else ("*position_ids",),
        source=file.path,
        advance=advance,
    )
    text_encoder = CLIPText(
        tower,
        tokenizer,
        record.model.max_tokens,
        # Stable Diffusion 2 uses the layer before the last. Its original files hold the last too.
        skip=1 if open_clip else 0,
        padding=record.padding,
    )
    return LatentDiffusion(unet, vae, text_encoder, record.model)


def save_single_file(
    path: str | os.PathLike[str],
    model: LatentDiffusion,
    *,
    dtype: DTypeLike | None = None,
    advance: Advance = lambda size: None,
) -> None:
    """Writes one file with the original names, which diffusers' `from_single_file` opens.

    The text encoder must be a `CLIPText`. With `skip=1` it is written like OpenCLIP in Stable
    Diffusion 2, else like CLIP in Stable Diffusion 1. The file does not hold the tokenizer.

    **Raises** `ValueError` for a model that is no Stable Diffusion.
    """
    specs: dict[str, jax.ShapeDtypeStruct] = {}
    sources: dict[str, tuple[LazyTensors, str]] = {}
    for part in single_file_tables(model):
        tensors = write_weights(part.module, part.pairs, dtype=dtype)
        for name, spec in tensors.specs.items():
            specs[part.name + name] = spec
            sources[part.name + name] = tensors, name

    def make(name: str) -> np.ndarray:
        tensors, own_name = sources[name]
        return tensors.make(own_name)

    text = model.text_encoder
    assert isinstance(text, CLIPText)  # single_file_tables refuses others
    tower = dataclasses.replace(text.tower.config, prefix="")
    record = SingleFileRecord(model.config, model.vae.config, tower, text.padding)
    tensors = LazyTensors(specs, make)
    save_safetensors(path, tensors, metadata=record.metadata(), advance=advance)


def single_file_tables(model: LatentDiffusion) -> list[PartTable]:
    """The parts of a model and their names in a single file, which follow each part's prefix.

    **Raises** `ValueError` for a model that is no Stable Diffusion.
    """
    text = model.text_encoder
    if not isinstance(text, CLIPText) or text.skip > 1:
        received = f"skip={text.skip}" if isinstance(text, CLIPText) else type(text).__name__
        raise ValueError(
            "The original layout holds a CLIP text tower of which at most the last layer is "
            f"skipped, received {received}. Save a folder: use a name without .safetensors."
        )
    depth, open_clip = text.tower.config.depth, text.skip == 1
    unet = compvis_unet_table(diffusers_network(model.config.network))
    tower = openclip_table(depth) if open_clip else clip_table(depth, "")
    return [
        PartTable(UNET, model.network, unet),
        PartTable(VAE, model.vae, compvis_autoencoder_table(model.vae.config)),
        PartTable(OPENCLIP if open_clip else CLIP, text.tower, tower),
    ]


def _check_names(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    for name, shape in shapes.items():
        schedule = "." not in name and len(shape) <= 1  # betas, alphas_cumprod, ...
        if not schedule and not name.startswith((*PARTS, *IGNORED)):
            raise ValueError(
                f"{path}: tensor '{name}' belongs to no part of a Stable Diffusion in its original "
                f"names, which start with {', '.join(PARTS)}."
            )
