"""Trains a text-to-image latent diffusion model on captioned pictures.

By default: the smallest network of the family, on 3,953 emoji at 64 x 64 pixels, with a frozen
MiniLM text encoder and the VAE that ships with the package. Ends in a run folder whose `samples/`
hold pictures of 16 fixed prompts; the last 8 are captions that were not trained on.

    python recipes/pretrain.py
    python recipes/pretrain.py --data my_pictures/ --run runs/mine --vae runs/vae/vae --size 256
    python recipes/pretrain.py --resume          # goes on exactly where the run was stopped
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import choices
import jax
import jax.numpy as jnp
import models
import numpy as np
import tyro
from training import launch, MAY_CHANGE, train, Training

from equildm.data import cached_latents, CachedLatents, open_source, split
from equildm.denoise import preset
from equildm.interop import load_vae
from equildm.latents import VAE
from equildm.nn import initialised
from equildm.noise import grids
from equildm.runtime import (
    count_parameters,
    picture_grid,
    Progress,
    Run,
    say,
    to_uint8,
)
from equildm.sample import DPMpp2M
from equildm.text import AbstractTextEncoder, embed
from equildm.text.fingerprint import fingerprint
from equildm.train import Intervals, LatentDiffusion, TrainState

PROMPTS = (
    "red heart",
    "green apple",
    "grinning face",
    "cat face",
    "flag of japan",
    "automobile",
    "purple square",
    "woman firefighter medium skin tone",
    # Not in the training set: held out, or no emoji at all.
    "woman firefighter medium-dark skin tone",
    "man astronaut light skin tone",
    "thumbs up",
    "pink square",
    "purple apple",
    "red book",
    "dog with tears of joy",
    "blue strawberry",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Training):
    """Trains a text-to-image latent diffusion model on captioned pictures."""

    run: Path = Path("runs/emoji")
    """Folder for everything that this run leaves."""
    steps: int = 2000
    """Updates in all."""
    decay: Literal["constant", "cosine"] = "constant"
    """What the learning rate does after the peak: constant as in the paper, so that a run can be
    lengthened at any time, the averages doing what a decay does; or a cosine down to 0."""
    data: str = "emoji"
    """emoji, shapes, a folder of pictures with metadata.jsonl or .txt captions, tars (a glob), a
    .parquet or an .arrayrecord file."""
    size: int = 32
    """Side of the pictures in pixels; they are resized and cropped in the middle."""
    flip: bool = False
    """Train on mirror images as well."""
    held_out: float = 0.05
    """Share of captions kept from training, chosen by a hash of the caption."""
    cache: Path = Path("runs/cache")
    """Where latents and text embeddings are kept. Any number of runs share it."""
    preset: str = "tiny"
    """Size of the UNet: tiny, mini, small, 39M .. 5B, or a width."""
    vae: Path | None = None
    """Folder of a VAE as diffusers saves one; by default the small one that ships here."""
    text: Path | None = None
    """Folder of a CLIP, BERT or T5, or of a pipeline with one; by default MiniLM."""
    caption_length: int = 16
    """Tokens that a caption is padded or cut to."""
    prediction: Literal["eps", "v", "x0"] = "v"
    """What the network predicts."""
    schedule: Literal["scaled-linear", "squared-cosine", "scaled-linear-zero-snr"] = "scaled-linear"
    """The noise schedule; scaled-linear is Stable Diffusion's."""
    weight: Literal["uniform", "min-snr", "p2", "edm"] = "min-snr"
    """How much each noise level counts in the loss."""
    times: Literal["uniform", "logit-normal", "log-snr"] = "uniform"
    """How training times are drawn."""
    dropout: float = 0.1
    """Share of captions replaced by the empty one, for classifier-free guidance."""
    ema: Literal["power", "decay"] = "power"
    """Averages of the weights: two power-function profiles, or one of constant decay."""
    compute: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the network; auto is bfloat16 on accelerators."""
    remat: Literal["none", "blocks", "dots"] = "none"
    """Activations to compute again in the backward pass, to save memory."""
    every: Intervals = Intervals(log=10, save=500, sample=500)
    """Intervals in steps."""
    prompts: tuple[str, ...] = PROMPTS
    """Captions of the pictures made on the way; none for no pictures."""
    guidance: float = 3.0
    """Guidance weight of these pictures."""


def main(config: Config) -> None:
    width = preset(config.preset).width
    mesh = launch(config)
    may_change = (*MAY_CHANGE, "cache", "prompts", "guidance")
    run = Run.create(config.run, config, "pretrain", resume=config.resume, may_change=may_change)
    models.run_vae(config.vae, run)

    # Data: latents and text embeddings, made once.
    vae, vae_config = load_vae(run.path / "vae")
    text = models.run_text(config.text, run, config.caption_length)
    cache = cache_of(config, vae, text)

    # The network.
    model = models.Model(
        unet=preset(
            width,
            in_channels=vae_config.latent_channels,
            out_channels=vae_config.latent_channels,
            context_width=cache.null_text.tokens.shape[-1],
        ),
        size=config.size,
        factor=vae_config.factor,
        prediction=config.prediction,
        schedule=config.schedule,
        caption_length=config.caption_length,
        ema=config.ema,
    )
    models.save_model(run, model)
    network = initialised(partial(model.unet.build, key=jax.random.key(config.seed)), mesh)
    say(f"{count_parameters(network) / 1e6:.1f}M parameters, {len(cache)} pictures.")

    # What it learns.
    objective = LatentDiffusion(
        schedule=choices.SCHEDULES[config.schedule],
        prediction=choices.PREDICTIONS[config.prediction],
        weight=choices.WEIGHTS[config.weight],
        times=choices.TIMES[config.times],
        null_text=jax.tree.map(jnp.asarray, cache.null_text),
        dropout=config.dropout,
        policy=choices.policy(config.compute),
        remat=config.remat,
    )
    train(
        config,
        run,
        network,
        cache,
        objective,
        config.make_optimizer(1e-4 if width >= 64 else 1e-3),  # the paper's rate for its own sizes
        choices.EMAS[config.ema],
        pictures_of(config, model, run) if config.prompts else None,
    )
    say(f"Pictures are in {run.samples}. More: python recipes/sample.py {run.path} --prompt ...")


def cache_of(config: Config, vae: VAE, text: AbstractTextEncoder) -> CachedLatents:
    """Every picture and caption of the training split, encoded; read from disk if done before."""
    training, _ = split(open_source(config.data), config.held_out)

    @jax.jit
    def encode(images: Any) -> Any:
        return jax.vmap(lambda image: vae.scaled(vae.encode(image).mode()))(images)

    with Progress(len(training), label="encoding", unit="pictures") as progress:
        return cached_latents(
            training,
            size=config.size,
            encode_images=encode,
            encode_captions=partial(embed, text),
            key_parts={"vae": fingerprint(vae), "text": text.fingerprint},
            folder=config.cache,
            flip=config.flip,
            progress=lambda done, total: progress.update(done),
        )


def pictures_of(
    config: Config, model: models.Model, run: Run
) -> Callable[[TrainState], np.ndarray]:
    """Makes the grid of the fixed prompts from the first average."""
    levels = grids.trailing(choices.SCHEDULES[config.schedule], 16)

    def pictures(state: TrainState) -> np.ndarray:
        pipeline = models.pipeline(run, model, state.average())
        images = pipeline(
            config.prompts, levels=levels, solver=DPMpp2M(), weight=config.guidance, seed=0
        )
        return picture_grid(to_uint8(images), config.prompts)

    return pictures


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
