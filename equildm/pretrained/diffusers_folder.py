"""A folder with a pipeline of Stable Diffusion, as diffusers saves it.

model_index.json        the names of the parts' classes
unet/, vae/, text_encoder/, tokenizer/, scheduler/
model.json              our config of the model, which diffusers ignores
"""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from jax.sharding import Mesh
from jax.typing import DTypeLike

from .._types import Network
from ..denoise import AbstractNetworkConfig, GuidanceEmbeddingConfig
from ..distill import ConsistencyConfig
from ..interop import load_unet, save_scheduler, save_unet, Scheduler, unet_table
from ..interop.config import read_config, write_config
from ..interop.config_fields import Fields, positive_int
from ..interop.mapping import Advance
from ..interop.scheduler_file import says_the_same
from ..interop.unet_config import unet_of
from ..latents import VAE, VAEConfig
from ..pipeline import LatentDiffusion, ModelConfig
from ..runtime import to_json
from ..text import AbstractTextEncoder, CLIPText
from .frozen_parts import check_width, frozen_tables, load_frozen, save_frozen
from .model_json import MODEL
from .part_table import PartTable
from .pipeline_index import (
    check_unet_index,
    folder_scheduler,
    INDEX,
    LCM_PIPELINE,
    pipeline_class,
    public_config,
    recorded_config,
    UNET_PIPELINES,
)
from .public_scheduler import check_as_written, check_asked_times, public_scheduler


def is_diffusers_folder(path: Path) -> bool:
    """Whether a folder holds a pipeline of diffusers."""
    return (path / INDEX).is_file() or (path / "unet").is_dir()


def load_diffusers(
    folder: str | os.PathLike[str],
    *,
    dtype: DTypeLike = "float32",
    mesh: Mesh | None = None,
    scheduler: Scheduler | None = None,
    advance: Advance = lambda size: None,
) -> LatentDiffusion:
    """Reads Stable Diffusion 1 or 2, or a model of that architecture at any width.

    The files of diffusers do not hold everything: the best number of sampling steps, for instance,
    or the boundary of a consistency function. `save_diffusers` adds a `model.json` that does. It is
    read if it agrees with the files of diffusers. If these were changed, they count.

    **Arguments:**

    - `folder`: a pipeline as diffusers saves it: `model_index.json` and the folders `unet`, `vae`,
        `text_encoder`, `tokenizer`, `scheduler`. Other components are ignored. The index may be
        missing, see `save_diffusers`.
    - `dtype`: of the arrays in memory; `"stored"` keeps the files', `"mapped"` reads nothing yet,
        see `load_pretrained`.
    - `mesh`: where the network goes, each array straight to its shards; by default, and for the
        other parts, on the first device.
    - `scheduler`: instead of the folder's, which is not read then.
    - `advance`: called with the bytes of each tensor.

    **Raises** `ValueError` naming the file, and the field or tensor, that is missing or wrong.
    """
    folder = Path(folder)
    if (folder / INDEX).exists() or not (folder / "unet").is_dir():
        read_config(folder, "a pipeline of Stable Diffusion", check_unet_index, file=INDEX)
    gave_scheduler = scheduler is not None
    if scheduler is None:
        scheduler = folder_scheduler(folder)
        check_asked_times(scheduler)
        if pipeline_class(folder) == LCM_PIPELINE:
            check_as_written(scheduler, LCM_PIPELINE)
    vae, text_encoder = load_frozen(folder, dtype=dtype, advance=advance)
    network, config = load_unet(folder / "unet", dtype=dtype, mesh=mesh, advance=advance)
    check_width(config, text_encoder.width, folder)
    side = read_config(folder / "unet", "a UNet of square latents", _sample_size)
    model = stable_diffusion(network, config, vae, text_encoder, scheduler, side)
    if not _has_config(folder):
        return model
    recorded = recorded_config(
        folder,
        model.config,
        gave_scheduler=gave_scheduler,
        agrees=_agrees,
        public_network=diffusers_network,
    )
    return dataclasses.replace(model, config=recorded)


def stable_diffusion(
    network: Network,
    config: AbstractNetworkConfig,
    vae: VAE,
    text_encoder: AbstractTextEncoder,
    scheduler: Scheduler,
    side: int = 64,
) -> LatentDiffusion:
    """The parts of a Stable Diffusion as one model. By default it is sampled as its scheduler says.

    **Arguments:**

    - `network`, `config`: the UNet, as `load_unet` returns them.
    - `vae`, `text_encoder`, `scheduler`: the other parts.
    - `side`: of the latents that it was trained on.
    """
    sizes, tokens = vae.config, text_encoder.max_tokens
    model_config = stable_diffusion_config(config, sizes, tokens, scheduler, side)
    return LatentDiffusion(network, vae, text_encoder, model_config)


def stable_diffusion_config(
    network: AbstractNetworkConfig, vae: VAEConfig, max_tokens: int, scheduler: Scheduler, side: int
) -> ModelConfig:
    """`public_config` with the defaults of diffusers' pipeline: a guidance scale of 7.5 and 50
    steps; with embedded guidance the 4 steps of its pipeline for latent consistency models.
    """
    return public_config(
        network,
        vae,
        max_tokens,
        scheduler,
        side,
        sampling_steps=4 if isinstance(network, GuidanceEmbeddingConfig) else 50,
        guidance_scale=7.5,
    )


def save_diffusers(
    folder: str | os.PathLike[str],
    model: LatentDiffusion,
    *,
    dtype: DTypeLike | None = None,
    advance: Advance = lambda size: None,
) -> None:
    """Writes a folder that `diffusers.StableDiffusionPipeline.from_pretrained` opens.

    That pipeline shows its UNet every token of a caption, the padding too. A model whose text
    encoder hides the padding (BERT, T5) is written without `model_index.json`: the classes of
    diffusers open its parts, and `load_diffusers` the model.

    **Arguments:**

    - `folder`: created where it does not exist.
    - `model`: a UNet, with or without embedded guidance. A latent consistency model gets LCM's
        scheduler and pipeline.
    - `dtype`: of the floating tensors in the files, by default as in memory.
    - `advance`: called with the bytes of each tensor.

    **Raises** `ValueError` for a model of another kind.
    """
    folder = Path(folder)
    config = model.config
    network = diffusers_network(config.network)
    scheduler = public_scheduler(config)
    save_unet(
        folder / "unet",
        model.network,
        network,
        sample_size=config.latent_shape[0],
        dtype=dtype,
        advance=advance,
    )
    save_frozen(folder, model, dtype=dtype, advance=advance)
    save_scheduler(folder / "scheduler", scheduler)
    write_config(folder, to_json(config), file=MODEL)
    if isinstance(model.text_encoder, CLIPText) and model.text_encoder.padding:
        kind = UNET_PIPELINES[isinstance(network, GuidanceEmbeddingConfig)]
        write_config(folder, {"_class_name": kind} | _components(scheduler), file=INDEX)


def diffusers_network(config: AbstractNetworkConfig) -> AbstractNetworkConfig:
    """The part of a network's config that diffusers' UNet can hold.

    The boundary of a consistency function has no arrays, and is left out.
    """
    return config.of if isinstance(config, ConsistencyConfig) else config


def check_diffusers(model: LatentDiffusion) -> None:
    """**Raises** `ValueError` for a model that a folder of Stable Diffusion does not hold."""
    unet_of(diffusers_network(model.config.network))
    public_scheduler(model.config)


def folder_tables(model: LatentDiffusion) -> list[PartTable]:
    """The parts of a model and their names in a folder of diffusers."""
    table = unet_table(diffusers_network(model.config.network))
    return [PartTable("unet", model.network, table), *frozen_tables(model)]


def _agrees(recorded: ModelConfig, scheduler: Scheduler) -> bool:
    try:
        return says_the_same(public_scheduler(recorded), scheduler)
    except ValueError:  # saved by an older version, which wrote what diffusers cannot sample
        return False


def _has_config(folder: Path) -> bool:
    """Whether there is a `model.json` of ours, and not another program's."""
    try:
        fields = json.loads((folder / MODEL).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(fields, dict) and fields.get("class") == ModelConfig.__name__


def _sample_size(fields: Fields) -> int:
    return 64 if fields.get("sample_size") is None else positive_int(fields, "sample_size")


def _components(scheduler: Scheduler) -> dict[str, Any]:
    return {
        "scheduler": ["diffusers", scheduler.kind],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "safety_checker": [None, None],
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
    }
