"""The model that a fine-tuning starts from."""

import dataclasses

from jax.sharding import Mesh

from ..denoise import AbstractNetworkWrap
from ..interop import load_vae, Scheduler
from ..latents import VAE
from ..noise import NoiseConfig
from ..pipeline import backbone_for, LatentDiffusion, new_model
from ..pipeline.new_model import with_best_sampling
from ..runtime import Run
from ..training import FineTuneConfig
from .load import load_pretrained
from .model_json import MODEL
from .pipeline_index import pipeline_class, SD3_PIPELINE
from .run_model import is_run, open_parts, read_run_model, vae_folder
from .shipped import model_path

NONE = "none"
"""The start of fresh weights."""

NETWORKS = ("unet", "transformer")
"""Folders of a network in a folder of diffusers."""


def open_start(
    config: FineTuneConfig,
    run: Run,
    *,
    image_size: int | None = None,
    seed: int = 0,
    mesh: Mesh,
) -> LatentDiffusion:
    """Opens the model that `config.start` names, or makes one with fresh weights.

    Nothing is written. A run that is resumed uses its own copy of the VAE. The model is sampled
    with trailing steps that end at noise level 0, whatever scheduler came with the start.

    **Arguments:**

    - `config`: the start, its average, and the VAE.
    - `run`: the new run, or the one that goes on.
    - `image_size`: side of the images that it is trained on, in pixels; by default the start's own,
        and 32 for fresh weights.
    - `seed`: of fresh weights.
    - `mesh`: the devices; each array of the network goes straight to its shards.

    **Raises** `ValueError` for a path that holds no model, for a start that was distilled or made
    for another task, for a VAE of other latents, for a size that the network cannot take, and for
    an average of fresh weights.
    """
    if config.start == NONE:
        if config.start_ema is not None:
            raise ValueError(
                f"Fresh weights have no averages, received --start-ema {config.start_ema}. Leave "
                "it out, or give a run as --start."
            )
        vae, text_encoder = open_parts(run, vae=config.vae)
        network = backbone_for(config.backbone, config.preset, vae, text_encoder)
        size = 32 if image_size is None else image_size
        return new_model(
            network, vae, text_encoder, image_size=size, noise=NoiseConfig(), seed=seed, mesh=mesh
        )
    _check_start(config.start)
    model = load_pretrained(config.start, mesh=mesh, ema=config.start_ema)
    if isinstance(model.config.network, AbstractNetworkWrap):
        raise _wrong_task(config.start)
    folder = vae_folder(run, config.vae)
    vae = model.vae if folder is None else load_vae(folder)
    return _with_vae(model, vae, image_size)


def _check_start(start: str) -> None:
    """Refuses what `load_pretrained` would open in vain, or not at all."""
    path = model_path(start)
    if is_run(path):
        trained = read_run_model(Run.open(start))
        wrap = isinstance(trained.model.network, AbstractNetworkWrap)
        if wrap or trained.stages or trained.trains_text_encoder:
            raise _wrong_task(start)
    elif path.is_file():
        raise ValueError(
            f"A start is a folder, received the single file {start}. Make a folder of it: "
            f"python recipes/convert.py {start} FOLDER --tokenizer TOKENIZER"
        )
    elif not ((path / MODEL).is_file() or any((path / part).is_dir() for part in NETWORKS)):
        raise ValueError(
            "A start is 'emoji' (the model that ships), a run folder, a folder of diffusers or "
            f"'none'; {start} is none of these. python recipes/pretrain.py makes runs/emoji."
        )
    elif pipeline_class(path) == SD3_PIPELINE:
        raise ValueError(
            f"A run holds one text encoder, received {start} with the three of Stable Diffusion 3. "
            "Train its network from Python: load_pretrained, then eqd.train."
        )


def _wrong_task(start: str) -> ValueError:
    return ValueError(
        f"A start is a model as it was pretrained, received {start}, which was distilled or "
        "fine-tuned itself, or predicts a variance as PixArt does. Start from the model that it "
        "was made from, such as a run of pretrain.py."
    )


def _with_vae(model: LatentDiffusion, vae: VAE, image_size: int | None) -> LatentDiffusion:
    config = model.config
    side, _, channels = config.latent_shape
    factor = config.image_size // side
    if vae.latent_channels != channels or vae.factor != factor:
        raise ValueError(
            f"The model takes latents of {channels} channels and {factor} pixels a position; the "
            f"VAE makes {vae.latent_channels} and {vae.factor}. Give the VAE that the start was "
            "trained with, or one fine-tuned from it."
        )
    size = config.image_size if image_size is None else image_size
    multiple = factor * config.network.multiple
    if size < multiple or size % multiple:
        raise ValueError(
            f"Images of this model have sides that are multiples of {multiple}, received {size}. "
            f"Use for instance {max(1, round(size / multiple)) * multiple}."
        )
    config = dataclasses.replace(
        config,
        image_size=size,
        latent_shape=(size // factor, size // factor, channels),
        scheduler=Scheduler(
            config.scheduler.schedule,
            config.scheduler.prediction,
            spacing="trailing",
            ends_clean=True,
        ),
    )
    return dataclasses.replace(model, vae=vae, config=with_best_sampling(config))
