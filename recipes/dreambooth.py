"""Teaches a model one subject from a handful of pictures (DreamBooth, Ruiz et al. 2023).

The subject's captions get a rare word. Beside each picture of it the model sees one of its class,
made by itself before the training, of the caption without that word: so that it does not forget
what else there is.

By default: six pictures of a blue woman at work, for a run of pretrain.py on emoji.

    python recipes/dreambooth.py --start runs/emoji
    python recipes/dreambooth.py --start runs/emoji --lora 8 --run runs/subject-lora
    python recipes/dreambooth.py --start runs/mine --data my_dog/ --class-prompt "photo of a {} dog"
    python recipes/sample.py runs/subject --prompt "sks woman mechanic"
    python recipes/compare_subjects.py runs/emoji runs/subject
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import choices
import equinox as eqx
import jax
import jax.numpy as jnp
import models
import numpy as np
import tyro
from finetuning import FineTuning, objective_of, optimizer_of, Start, started, trained_part
from training import launch, MAY_CHANGE, train

from equildm.data import (
    AbstractSource,
    Crop,
    LatentBatch,
    open_source,
    SubjectLatents,
    to_unit,
    UnusableSample,
)
from equildm.latents import VAE
from equildm.noise import grids
from equildm.runtime import (
    count_parameters,
    fetch,
    once,
    picture_grid,
    replacing,
    Run,
    save_png,
    say,
    to_uint8,
)
from equildm.sample import DPMpp2M, TextToImage
from equildm.text import Captioned, embed
from equildm.train import Intervals, PriorPreservation, TrainState


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(FineTuning):
    """Teaches a model one subject from a handful of pictures."""

    run: Path = Path("runs/subject")
    """Folder for everything that this run leaves."""
    start: str = "runs/emoji"
    """A run folder of pretrain.py, a folder of diffusers with a Stable Diffusion, or `none` for
    fresh weights."""
    steps: int = 200
    """Updates in all."""
    batch_size: int = 4
    """Pictures of the subject an update, over all devices; as many of the class come beside."""
    warmup: int = 10
    """Steps until the peak of the learning rate."""
    decay: Literal["constant", "cosine"] = "constant"
    """What the learning rate does after the peak."""
    ema: Literal["power", "decay", "decay-0.999", "decay-0.95"] = "decay-0.95"
    """Averages of the weights."""
    data: str = "tinted"
    """tinted (a blue woman made of emoji), or a folder with pictures of the subject."""
    token: str = "sks"
    """The rare word that is to mean the subject."""
    class_prompt: str | None = None
    """Caption of all pictures, where they have none of their own; {} is where the rare word goes,
    in front by default."""
    prior_weight: float = 1.0
    """Weight of the class's part of the loss; 0 leaves it out."""
    prior_count: int = 96
    """Pictures of the class that are made."""
    prior_prompts: tuple[str, ...] = ()
    """Their captions, by default the subject's without the rare word."""
    train_text: bool = False
    """Train the text encoder too, at the rates that --groups gives to "text.*"."""
    guidance: float = 3.0
    """Guidance weight of the class's pictures and of those made on the way."""
    sampling_steps: int = 16
    """Of DPM-Solver++(2M), for the same."""
    prompts: tuple[str, ...] = (
        "{} woman firefighter",
        "{} woman pilot",
        "{} woman mechanic",
        "{} woman scientist",
        "woman firefighter",
        "woman pilot",
        "woman mechanic",
        "woman scientist",
    )
    """Captions of the pictures made on the way, {} being the rare word; none for no pictures."""
    every: Intervals = Intervals(log=10, save=200, sample=200)
    """Intervals in steps."""


def main(config: Config) -> None:
    mesh = launch(config)
    open_source(config.data)  # says what is wrong with it before there is a folder
    may_change = (*MAY_CHANGE, "prompts")
    run = Run.create(config.run, config, "dreambooth", resume=config.resume, may_change=may_change)
    start = started(config, run, mesh)
    model = dataclasses.replace(start.model, trains_text=config.train_text)
    models.save_model(run, model)
    say(f"{count_parameters(start.network) / 1e6:.1f}M parameters, of {start.said}.")

    # Data: the subject, and pictures of its class by the model as it is.
    images, captions = subject_of(config, model.size)
    subject = encoded(
        start, images, [spoken(caption, config.token) for caption in captions], config
    )
    prior = None
    if config.prior_weight:
        prompts = config.prior_prompts or tuple(dict.fromkeys(captions))
        named = [spoken(prompt) for prompt in prompts]
        prior_captions = [named[i % len(named)] for i in range(config.prior_count)]
        prior = encoded(start, prior_of(config, run, start, prior_captions), prior_captions, config)

    # What it learns.
    network, null_text = start.network, start.null_text()
    if config.train_text:
        network = Captioned(start.network, start.text)
        null_text = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), start.text.tokenize([""]))
    part = trained_part(config, network, run)
    objective: Any = objective_of(config, start, null_text, dropout=0.0)
    if prior is not None:
        objective = PriorPreservation(objective, config.prior_weight)
    rate = (5e-6 if model.unet.width >= 64 else 1e-4) * (20 if config.lora else 1)
    train(
        config,
        run,
        part.model,
        SubjectLatents(subject, prior),
        part.on(objective),
        optimizer_of(config, rate),
        choices.EMAS[model.ema],
        pictures_of(config, model, run, part.whole) if config.prompts else None,
    )
    say(f"Pictures are in {run.samples}. More: python recipes/sample.py {run.path} --prompt ...")


def spoken(prompt: str, token: str = "") -> str:
    """The caption with the rare word where {} is or else in front; without it, if it is empty."""
    if token and "{}" not in prompt:
        prompt = "{} " + prompt
    return " ".join(prompt.replace("{}", token).split())


def subject_of(config: Config, size: int) -> tuple[np.ndarray, list[str]]:
    """The subject's pictures, uint8, and what each shows. What cannot be read is left out."""
    source, crop = open_source(config.data), Crop(size)
    images, captions = [], []
    for i in range(len(source)):
        try:
            caption = caption_of(source, i, config.class_prompt)
            images.append(crop(source.image(i)))
            captions.append(caption)
        except UnusableSample as error:
            say(f"Skipped {error}.")
    if not images:
        raise ValueError(
            f"A subject needs at least one picture with a caption; {config.data} has none. Pass "
            "--class-prompt 'a photo of a {} dog' where pictures have no captions."
        )
    return np.stack(images), captions


def caption_of(source: AbstractSource, index: int, given: str | None) -> str:
    """What a picture shows: as the command says, or else the source."""
    return source.caption(index) if given is None else given


def encoded(
    start: Start, images: np.ndarray, captions: Sequence[str], config: Config
) -> LatentBatch:
    """Latents with embeddings of their captions, or with token ids to train the encoder with."""
    words: Any = start.text.tokenize(captions)
    if not config.train_text:
        words = embed(start.text, captions)
    latents = [_encode(start.vae, part) for part in np.split(images, range(32, len(images), 32))]
    joined: Any = np.concatenate([np.asarray(part) for part in latents])
    return LatentBatch(joined, words)


@eqx.filter_jit
def _encode(vae: VAE, images: Any) -> Any:
    return jax.vmap(lambda image: vae.scaled(vae.encode(to_unit(image)).mode()))(images)


def prior_of(config: Config, run: Run, start: Start, captions: Sequence[str]) -> np.ndarray:
    """A picture of each caption, made by the model as it is, and kept in the run's folder."""
    file = run.path / "prior.npz"
    whole = start.model.denoiser(fetch(start.network))
    pipeline = TextToImage(whole, start.vae, start.text, start.model.latent_shape)

    def make() -> None:
        if file.exists():
            return
        say(f"Making {len(captions)} pictures of the class.")
        images = made(pipeline, config, start.model, captions, seed=config.seed + 3)
        with replacing(file) as temporary, temporary.open("wb") as out:
            np.savez(out, images=images)
        save_png(run.samples / "prior.png", picture_grid(images[:48], list(captions[:48])))

    once("prior", make)
    with np.load(file, allow_pickle=False) as kept:
        return kept["images"]


def made(
    pipeline: TextToImage,
    config: Config,
    model: models.Model,
    captions: Sequence[str],
    *,
    seed: int = 0,
) -> np.ndarray:
    """A picture of each caption, uint8."""
    return to_uint8(
        pipeline(
            list(captions),
            levels=grids.trailing(choices.SCHEDULES[model.schedule], config.sampling_steps),
            solver=DPMpp2M(),
            weight=config.guidance,
            seed=seed,
            batch=32,
        )
    )


def pictures_of(
    config: Config, model: models.Model, run: Run, whole: Callable[[Any], Any]
) -> Callable[[TrainState], np.ndarray]:
    """Makes the grid of the prompts, with the rare word and without, by the first average."""
    captions = [spoken(prompt, config.token if "{}" in prompt else "") for prompt in config.prompts]

    def pictures(state: TrainState) -> np.ndarray:
        pipeline = models.pipeline(run, model, fetch(whole(state.average())))
        return picture_grid(made(pipeline, config, model, captions), captions)

    return pictures


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
