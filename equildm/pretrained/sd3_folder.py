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
from ..interop import load_mmdit, load_scheduler, save_mmdit, save_scheduler, Scheduler
from ..interop.config import write_config
from ..interop.mapping import Advance
from ..interop.mmdit import to_sd3
from ..interop.mmdit_table import mmdit_table
from ..interop.scheduler_file import scheduler_document
from ..noise import FlowVelocity, RectifiedFlow
from ..pipeline import LatentDiffusion, ModelConfig
from ..runtime import to_json
from ..text import SD3Text
from .frozen_parts import check_width, frozen_tables, load_frozen, save_frozen
from .model_json import MODEL
from .part_table import PartTable
from .pipeline_index import INDEX, recorded_config, SD3_PIPELINE


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
    scheduler = load_scheduler(folder / "scheduler") if scheduler is None else scheduler
    _check_process(scheduler)
    if not (folder / "text_encoder_3").is_dir():
        raise ValueError(
            f"{folder} has no text_encoder_3, the T5 of Stable Diffusion 3, without which it is "
            "not opened. Save the pipeline with all three text encoders."
        )
    vae, text_encoder = load_frozen(folder, dtype=dtype, advance=advance)
    network, config = load_mmdit(folder / "transformer", dtype=dtype, mesh=mesh, advance=advance)
    check_width(config, text_encoder.width, folder)
    side = (config.position_base or 1) * config.patch
    public = ModelConfig(
        network=config,
        image_size=side * vae.factor,
        latent_shape=(side, side, vae.latent_channels),
        scheduler=scheduler,
        max_tokens=text_encoder.max_tokens,
        solver=scheduler.sampler,
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
    folder, config = Path(folder), model.config
    _check_model(config, isinstance(model.text_encoder, SD3Text))
    transformer = folder / "transformer"
    save_mmdit(transformer, model.network, config.network, dtype=dtype, advance=advance)
    save_frozen(folder, model, dtype=dtype, advance=advance)
    save_scheduler(folder / "scheduler", config.scheduler)
    write_config(folder, to_json(config), file=MODEL)
    write_config(folder, {"_class_name": SD3_PIPELINE} | _components(config.scheduler), file=INDEX)


def fits_sd3(model: LatentDiffusion) -> bool:
    """Whether a folder of Stable Diffusion 3 holds a model exactly."""
    try:
        _check_model(model.config, isinstance(model.text_encoder, SD3Text))
    except ValueError:
        return False
    return True


def sd3_tables(model: LatentDiffusion) -> list[PartTable]:
    """The parts of a model and their names in such a folder."""
    network = model.config.network
    assert isinstance(network, MMDiTConfig), "fits_sd3 tells"
    return [PartTable("transformer", model.network, mmdit_table(network)), *frozen_tables(model)]


def _check_model(config: ModelConfig, has_encoders: bool) -> None:
    to_sd3(config.network)
    _check_process(config.scheduler)
    scheduler_document(config.scheduler)
    if not has_encoders:
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
