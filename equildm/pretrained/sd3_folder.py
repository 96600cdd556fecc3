"""A folder with a pipeline of Stable Diffusion 3, as diffusers saves it.

model_index.json        the names of the parts' classes
transformer/, vae/, scheduler/
text_encoder/, text_encoder_2/, text_encoder_3/, tokenizer/, tokenizer_2/, tokenizer_3/
model.json              our config of the model, which diffusers ignores
"""

import os
from pathlib import Path

from jax.sharding import Mesh
from jax.typing import DTypeLike

from ..denoise import MMDiTConfig
from ..interop import load_mmdit, save_mmdit, Scheduler
from ..interop.mapping import Advance
from ..interop.mmdit import to_sd3
from ..interop.mmdit_table import mmdit_table
from ..interop.scheduler_file import scheduler_document
from ..noise import FlowVelocity, RectifiedFlow
from ..pipeline import LatentDiffusion
from ..text import SD3Text
from .frozen_parts import check_width, frozen_tables, load_frozen
from .part_table import PartTable
from .pipeline_index import (
    folder_scheduler,
    public_config,
    recorded_config,
    save_around,
    SD3_PIPELINE,
)


def load_sd3(
    folder: str | os.PathLike[str],
    *,
    dtype: DTypeLike = "float32",
    mesh: Mesh | None = None,
    scheduler: Scheduler | None = None,
    advance: Advance = lambda size: None,
) -> LatentDiffusion:
    """Reads Stable Diffusion 3 or 3.5, or a model of that architecture at any width, with all three
    text encoders.

    **Arguments:** as of `load_diffusers`.

    **Raises** `ValueError` naming the file, and the field or tensor, that is missing or wrong.
    """
    folder = Path(folder)
    gave_scheduler = scheduler is not None
    scheduler = folder_scheduler(folder) if scheduler is None else scheduler
    _check_process(scheduler)
    if not (folder / "text_encoder_3").is_dir():
        raise ValueError(
            f"{folder} has no text_encoder_3, the T5 of Stable Diffusion 3, without which it is "
            "not opened. Save the pipeline with all three text encoders."
        )
    vae, text_encoder = load_frozen(folder, dtype=dtype, advance=advance)
    network, config = load_mmdit(folder / "transformer", dtype=dtype, mesh=mesh, advance=advance)
    check_width(config, text_encoder.width, folder)
    public = public_config(
        config,
        vae.config,
        text_encoder.max_tokens,
        scheduler,
        config.trained_side,
        sampling_steps=28,
        guidance_scale=7.0,
    )
    config_of_model = recorded_config(folder, public, gave_scheduler=gave_scheduler)
    return LatentDiffusion(network, vae, text_encoder, config_of_model)


def save_sd3(
    folder: str | os.PathLike[str],
    model: LatentDiffusion,
    *,
    dtype: DTypeLike | None = None,
    advance: Advance = lambda size: None,
) -> None:
    """Writes a folder that `diffusers.StableDiffusion3Pipeline.from_pretrained` opens.

    **Arguments:** as of `save_diffusers`.

    **Raises** `ValueError` for a model of another kind.
    """
    check_sd3(model)
    folder, config = Path(folder), model.config
    transformer = folder / "transformer"
    save_mmdit(transformer, model.network, config.network, dtype=dtype, advance=advance)
    components = _components(config.scheduler)
    save_around(folder, model, SD3_PIPELINE, components, dtype=dtype, advance=advance)


def sd3_tables(model: LatentDiffusion) -> list[PartTable]:
    """The parts of a model and their names in such a folder."""
    network = model.config.network
    assert isinstance(network, MMDiTConfig), "check_sd3 tells"
    return [PartTable("transformer", model.network, mmdit_table(network)), *frozen_tables(model)]


def check_sd3(model: LatentDiffusion) -> None:
    """**Raises** `ValueError` for a model that a folder of SD3 does not hold exactly."""
    to_sd3(model.config.network)
    _check_process(model.config.scheduler)
    scheduler_document(model.config.scheduler)
    if not isinstance(model.text_encoder, SD3Text):
        raise ValueError(
            f"diffusers' {SD3_PIPELINE} has an SD3Text, two CLIPs and a T5. Save this model in "
            "this library's own layout: layout='equildm'."
        )


def _check_process(scheduler: Scheduler) -> None:
    process = type(scheduler.schedule), type(scheduler.prediction)
    if process != (RectifiedFlow, FlowVelocity):
        raise ValueError(
            f"{SD3_PIPELINE} is sampled with a scheduler of flow matching, received "
            f"{scheduler.kind}. Use FlowMatchEulerDiscreteScheduler or its Heun."
        )


def _components(scheduler: Scheduler) -> dict[str, list[str]]:
    clip = ["transformers", "CLIPTextModelWithProjection"]
    return {
        "scheduler": ["diffusers", scheduler.kind],
        "transformer": ["diffusers", "SD3Transformer2DModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": clip,
        "text_encoder_2": clip,
        "text_encoder_3": ["transformers", "T5EncoderModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "CLIPTokenizer"],
        "tokenizer_3": ["transformers", "T5TokenizerFast"],
    }
