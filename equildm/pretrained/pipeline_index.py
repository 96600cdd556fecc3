"""`model_index.json`: the name of a pipeline of diffusers, and the config of ours beside it."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

from ..interop.config_fields import Fields
from ..interop.scheduler_file import says_the_same
from ..pipeline import ModelConfig
from .model_json import MODEL, read_model_config

INDEX = "model_index.json"
UNET_PIPELINES = ("StableDiffusionPipeline", "LatentConsistencyModelPipeline")
SD3_PIPELINE = "StableDiffusion3Pipeline"
PIXART_PIPELINES: Mapping[str, int] = {"PixArtAlphaPipeline": 120, "PixArtSigmaPipeline": 300}
"""The number of tokens that each reads of a caption."""

_CLASSES = "DiTPipeline"


def pipeline_class(folder: Path) -> str | None:
    """The pipeline that a folder names, if it names one."""
    try:
        fields = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    name = fields.get("_class_name") if isinstance(fields, dict) else None
    return name if isinstance(name, str) else None


def check_unet_index(fields: Fields) -> None:
    """**Raises** `ValueError` for an index that names no pipeline of a UNet.

    The message names all pipelines that are opened, for the others have loaders of their own.
    """
    name = fields["_class_name"]
    if name in UNET_PIPELINES:
        return
    *first, last = *UNET_PIPELINES, SD3_PIPELINE, *PIXART_PIPELINES
    message = f"_class_name is {name!r}, and only {', '.join(first)} and {last} are supported"
    if name == _CLASSES:
        message += (
            ". A DiT is conditioned on classes and not on captions: open its network with "
            "load_dit(folder / 'transformer'), and give the class as a one-hot "
            "TextEmbedding.pooled"
        )
    raise ValueError(message)


def recorded_config(folder: Path, public: ModelConfig, *, gave_scheduler: bool) -> ModelConfig:
    """The config in `model.json` if the public files agree with it, else the public one.

    With a scheduler that was given instead of the folder's, the rest must agree.
    """
    if not (folder / MODEL).is_file():
        return public
    recorded = read_model_config(folder)
    if gave_scheduler:
        recorded = dataclasses.replace(
            recorded, scheduler=public.scheduler, solver=public.solver, grid=None
        )
    elif not says_the_same(recorded.scheduler, public.scheduler):
        return public
    visible = dataclasses.replace(
        recorded,
        scheduler=public.scheduler,
        solver=public.solver,
        sampling_steps=public.sampling_steps,
        grid=public.grid,
        guidance_scale=public.guidance_scale,
    )
    return recorded if visible == public else public
