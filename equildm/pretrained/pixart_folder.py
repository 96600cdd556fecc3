"""A folder with a pipeline of PixArt-alpha or PixArt-Sigma, as diffusers saves it.

model_index.json        the names of the parts' classes
transformer/, vae/, text_encoder/, tokenizer/, scheduler/
model.json              our config of the model, which diffusers ignores
"""

import os
from pathlib import Path

from jax.sharding import Mesh
from jax.typing import DTypeLike

from .._types import Network
from ..denoise import (
    AbstractNetworkConfig,
    ResolutionConditioningConfig,
    WithoutVariance,
    WithoutVarianceConfig,
)
from ..interop import load_dit, save_dit, Scheduler
from ..interop.dit import dit_table
from ..interop.dit_fields import dit_sizes, is_of_classes, PublicDiT, to_dit
from ..interop.mapping import Advance
from ..interop.scheduler_file import scheduler_document
from ..pipeline import LatentDiffusion
from ..text import AbstractTextEncoder, T5Text
from .frozen_parts import check_width, frozen_tables, load_frozen
from .part_table import PartTable
from .pipeline_index import (
    folder_scheduler,
    pipeline_class,
    PIXART_PIPELINES,
    public_config,
    recorded_config,
    save_around,
)
from .public_scheduler import check_as_written, check_asked_times, ONLY_OURS

ALPHA, SIGMA = PIXART_PIPELINES
TOLD_SIDE = 128
"""Side of the latents at which diffusers tells a network the resolution, in PixArt-alpha only."""


def load_pixart(
    folder: str | os.PathLike[str],
    *,
    dtype: DTypeLike = "float32",
    mesh: Mesh | None = None,
    scheduler: Scheduler | None = None,
    advance: Advance = lambda size: None,
) -> LatentDiffusion:
    """Reads PixArt-alpha or PixArt-Sigma, or a model of that architecture at any width.

    T5 reads 120 tokens of a caption in PixArt-alpha and 300 in PixArt-Sigma. Guidance leads away
    from its embedding of the empty caption. A variance that the network predicts is left out.

    **Arguments:** as of `load_diffusers`.

    **Raises** `ValueError` naming the file, and the field or tensor, that is missing or wrong.
    """
    folder = Path(folder)
    pipeline = pipeline_class(folder)
    assert pipeline is not None, "kind_of_folder has read it"
    max_tokens = PIXART_PIPELINES[pipeline]
    gave_scheduler = scheduler is not None
    scheduler = folder_scheduler(folder) if scheduler is None else scheduler
    check_asked_times(scheduler, "PixArt")
    if not gave_scheduler:
        check_as_written(scheduler, pipeline)
    vae, text_encoder = load_frozen(folder, max_tokens=max_tokens, dtype=dtype, advance=advance)
    transformer, config = load_dit(folder / "transformer", dtype=dtype, mesh=mesh, advance=advance)
    check_width(config, text_encoder.width, folder)
    sizes = dit_sizes(config)
    network: Network = transformer
    network_config: AbstractNetworkConfig = config
    if sizes.out_channels == 2 * sizes.in_channels:
        network, network_config = WithoutVariance(network), WithoutVarianceConfig(config)
    public = public_config(
        network_config,
        vae.config,
        max_tokens,
        scheduler,
        sizes.trained_side,
        sampling_steps=20,
        guidance_scale=4.5,
    )
    _check_parts(config, text_encoder)
    config_of_model = recorded_config(folder, public, gave_scheduler=gave_scheduler)
    return LatentDiffusion(network, vae, text_encoder, config_of_model)


def save_pixart(
    folder: str | os.PathLike[str],
    model: LatentDiffusion,
    *,
    dtype: DTypeLike | None = None,
    advance: Advance = lambda size: None,
) -> None:
    """Writes a folder that diffusers opens: of PixArt-alpha where T5 reads 120 tokens, else Sigma.

    **Arguments:** as of `save_diffusers`.

    **Raises** `ValueError` for a model of another kind.
    """
    folder, scheduler = Path(folder), model.config.scheduler
    network, config = _transformer(model)
    save_dit(folder / "transformer", network, config, dtype=dtype, advance=advance)
    names = {tokens: name for name, tokens in PIXART_PIPELINES.items()}
    pipeline = names[model.text_encoder.max_tokens]
    save_around(folder, model, pipeline, _components(scheduler), dtype=dtype, advance=advance)


def check_pixart(model: LatentDiffusion) -> None:
    """**Raises** `ValueError` for a model that a folder of PixArt does not hold exactly."""
    _transformer(model)


def pixart_tables(model: LatentDiffusion) -> list[PartTable]:
    """The parts of a model and their names in such a folder."""
    network, config = _transformer(model)
    return [PartTable("transformer", network, dit_table(config)), *frozen_tables(model)]


def _transformer(model: LatentDiffusion) -> tuple[Network, PublicDiT]:
    """The network that the folder holds. **Raises** `ValueError` for a model that does not fit."""
    network, config = model.network, model.config.network
    if isinstance(network, WithoutVariance) and isinstance(config, WithoutVarianceConfig):
        network, config = network.network, config.of
    to_dit(config)
    assert isinstance(config, PublicDiT), "to_dit has checked it"
    _check_parts(config, model.text_encoder)
    check_asked_times(model.config.scheduler, "PixArt")
    check_as_written(model.config.scheduler, "A pipeline of PixArt")
    scheduler_document(model.config.scheduler)
    return network, config


def _check_parts(config: PublicDiT, text_encoder: AbstractTextEncoder) -> None:
    """Refuses what the pipelines of diffusers do not sample."""
    sizes = dit_sizes(config)
    if is_of_classes(sizes) or not isinstance(text_encoder, T5Text):
        reads = "classes" if is_of_classes(sizes) else "captions"
        raise ValueError(
            f"A pipeline of PixArt has a T5Text and a network of captions, received a "
            f"{type(text_encoder).__name__} and a network of {reads}. {ONLY_OURS}"
        )
    if sizes.out_channels not in (sizes.in_channels, 2 * sizes.in_channels):
        raise ValueError(
            f"PixArt predicts noise of the latent's {sizes.in_channels} channels, with or without "
            f"a variance of as many; received out_channels={sizes.out_channels}. Give the "
            "transformer of a PixArt."
        )
    tokens = text_encoder.max_tokens
    if tokens not in PIXART_PIPELINES.values():
        raise ValueError(
            f"T5 reads {PIXART_PIPELINES[ALPHA]} tokens of a caption in {ALPHA} and "
            f"{PIXART_PIPELINES[SIGMA]} in {SIGMA}, received max_tokens={tokens}. {ONLY_OURS}"
        )
    side = sizes.trained_side
    is_told = isinstance(config, ResolutionConditioningConfig)
    if is_told and (tokens, side) != (PIXART_PIPELINES[ALPHA], TOLD_SIDE):
        raise ValueError(
            f"Resolution and aspect ratio are told to a network of {ALPHA} whose sample_size is "
            f"{TOLD_SIDE}, received use_additional_conditions with the sample_size {side} and "
            f"{tokens} tokens. {ONLY_OURS}"
        )


def _components(scheduler: Scheduler) -> dict[str, list[str]]:
    return {
        "scheduler": ["diffusers", scheduler.kind],
        "transformer": ["diffusers", "PixArtTransformer2DModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "T5EncoderModel"],
        "tokenizer": ["transformers", "T5TokenizerFast"],
    }
