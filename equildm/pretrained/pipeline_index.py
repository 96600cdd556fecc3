"""`model_index.json`: the name of a pipeline of diffusers, and the config that goes with it."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from jax.typing import DTypeLike

from ..denoise import AbstractNetworkConfig
from ..interop import load_scheduler, save_scheduler, Scheduler
from ..interop.config import read_config, write_config
from ..interop.config_fields import Fields
from ..interop.mapping import Advance
from ..interop.scheduler_file import says_the_same
from ..latents import VAEConfig
from ..pipeline import LatentDiffusion, ModelConfig
from ..runtime import to_json
from .frozen_parts import save_frozen
from .model_json import MODEL, read_model_config

INDEX = "model_index.json"
LCM_PIPELINE = "LatentConsistencyModelPipeline"
UNET_PIPELINES = ("StableDiffusionPipeline", LCM_PIPELINE)
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


def folder_scheduler(folder: Path) -> Scheduler:
    """The scheduler of a pipeline's folder.

    **Raises** `ValueError` where the index names another class than the scheduler's own file.
    diffusers takes the class from the index, and the fields from the file.
    """
    scheduler = load_scheduler(folder / "scheduler")
    if (folder / INDEX).is_file():
        read_config(folder, "this pipeline", partial(_check_kind, scheduler.kind), file=INDEX)
    return scheduler


def _check_kind(kind: str, fields: Fields) -> None:
    entry = fields.get("scheduler")
    named = entry[1] if isinstance(entry, list) and len(entry) == 2 else None
    if named not in (None, kind):
        raise ValueError(
            f"its scheduler is {named!r}, and scheduler/scheduler_config.json says {kind!r}. Make "
            "them the same: diffusers samples with the class of this file"
        )


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


def says_its_scheduler(recorded: ModelConfig, scheduler: Scheduler) -> bool:
    """Whether a recorded config is sampled as the files of a scheduler say."""
    return says_the_same(recorded.scheduler, scheduler)


def recorded_config(
    folder: Path,
    public: ModelConfig,
    *,
    gave_scheduler: bool,
    agrees: Callable[[ModelConfig, Scheduler], bool] = says_its_scheduler,
    public_network: Callable[[AbstractNetworkConfig], AbstractNetworkConfig] = lambda config: (
        config
    ),
) -> ModelConfig:
    """The config in `model.json` if the public files agree with it, else the public one.

    With a scheduler that was given instead of the folder's, the rest must agree.

    **Arguments:**

    - `folder`, `public`: the folder, and the config that its public files give.
    - `gave_scheduler`: whether the scheduler of `public` was given.
    - `agrees`: whether a recorded config is sampled as a public scheduler says.
    - `public_network`: the part of a network's config that the public files hold.
    """
    if not (folder / MODEL).is_file():
        return public
    recorded = read_model_config(folder)
    if gave_scheduler:
        recorded = dataclasses.replace(
            recorded, scheduler=public.scheduler, solver=public.solver, grid=None
        )
    elif not agrees(recorded, public.scheduler):
        return public
    visible = dataclasses.replace(
        recorded,
        network=public_network(recorded.network),
        scheduler=public.scheduler,
        solver=public.solver,
        sampling_steps=public.sampling_steps,
        grid=public.grid,
        guidance_scale=public.guidance_scale,
    )
    return recorded if visible == public else public


def public_config(
    network: AbstractNetworkConfig,
    vae: VAEConfig,
    max_tokens: int,
    scheduler: Scheduler,
    side: int,
    *,
    sampling_steps: int,
    guidance_scale: float,
) -> ModelConfig:
    """The config of a model of which only the public files are known.

    The solver is the scheduler's. Steps and guidance scale are the defaults of diffusers' pipeline.

    **Arguments:**

    - `network`, `vae`, `scheduler`: the parts.
    - `max_tokens`: that the text encoder reads of a caption.
    - `side`: of the latents that the network was trained on.
    - `sampling_steps`, `guidance_scale`: see `ModelConfig`.
    """
    return ModelConfig(
        network=network,
        image_size=side * vae.factor,
        latent_shape=(side, side, vae.latent_channels),
        scheduler=scheduler,
        max_tokens=max_tokens,
        solver=scheduler.sampler,
        sampling_steps=sampling_steps,
        guidance_scale=guidance_scale,
    )


def save_around(
    folder: Path,
    model: LatentDiffusion,
    pipeline: str,
    components: Mapping[str, list[str]],
    *,
    dtype: DTypeLike | None,
    advance: Advance,
) -> None:
    """Writes all that a pipeline's folder has beside its network, the index last.

    **Arguments:**

    - `folder`, `model`, `dtype`, `advance`: as of `save_diffusers`.
    - `pipeline`, `components`: the names of the classes of the pipeline and its parts.
    """
    save_frozen(folder, model, dtype=dtype, advance=advance)
    save_scheduler(folder / "scheduler", model.config.scheduler)
    write_config(folder, to_json(model.config), file=MODEL)
    write_config(folder, {"_class_name": pipeline} | dict(components), file=INDEX)
