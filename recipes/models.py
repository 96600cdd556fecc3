"""What a run folder holds beside weights: the model's description, VAE and text encoder."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax
from choices import PREDICTIONS, SCHEDULES

from equildm.denoise import (
    AbstractDenoiser,
    concatenated,
    EmbeddedGuidance,
    Guided,
    Preconditioned,
    UNetConfig,
)
from equildm.distill import ConsistencyFunction, LevelBoundary, TimeBoundary
from equildm.interop import (
    load_minilm,
    load_text_encoder,
    load_vae,
    save_text_encoder,
    shipped_vae,
)
from equildm.runtime import from_json, once, replacing, Run, to_json, write_atomic
from equildm.sample import TextToImage
from equildm.text import AbstractTextEncoder, Captioned


@dataclasses.dataclass(frozen=True)
class Distilled:
    """What a distilled model is, and how it is best sampled."""

    boundary: Literal["time", "level"] | None
    """Of its consistency function, if it is one."""
    sampler: str
    """By name."""
    steps: int
    """Of the sampler."""
    weight: float
    """Of guidance."""
    stages: tuple[tuple[int, int], ...] = ()
    """A student for each number of sampling steps: that number, and the update it was done at."""

    def stage(self, steps: int) -> int | None:
        """The update at which the student for so many steps was done, or for the most steps below;
        where there is none, for the fewest. None of a model without stages."""
        below = [stage for stage in self.stages if stage[0] <= steps]
        return max(below)[1] if below else min(self.stages, default=(0, None))[1]


@dataclasses.dataclass(frozen=True)
class Upscaling:
    """What a model is that makes pictures larger."""

    scale: int
    """By how much."""
    augmentation: float
    """Share of the schedule that small pictures were noised by in training."""


@dataclasses.dataclass(frozen=True)
class Model:
    """What a trained model is, beside its weights: all that sampling needs to know."""

    unet: UNetConfig
    """Sizes of the network."""
    size: int
    """Side of the pictures in pixels."""
    factor: int
    """Pixels a latent position is wide."""
    prediction: Literal["eps", "v", "x0"]
    """What the network predicts."""
    schedule: Literal["scaled-linear", "squared-cosine", "scaled-linear-zero-snr"]
    """The noise schedule."""
    caption_length: int
    """Tokens of a caption."""
    ema: Literal["power", "decay", "decay-0.999", "decay-0.95"]
    """The averages that are kept."""
    distilled: Distilled | None = None
    """For a model that was."""
    lora: int | None = None
    """Rank of the adapters that were trained; the network that they adapt is in the run's base/."""
    train: tuple[str, ...] = ("*",)
    """Paths of the arrays that were trained, as patterns; the others are in the run's base/."""
    trains_text: bool = False
    """Whether the text encoder was trained with the network."""
    upscaling: Upscaling | None = None
    """For a model that makes pictures larger."""

    def denoiser(self, network: Any) -> AbstractDenoiser:
        """The network as a denoiser."""
        schedule = SCHEDULES[self.schedule]
        denoiser = Preconditioned(network, schedule, PREDICTIONS[self.prediction])
        if self.distilled is None or self.distilled.boundary is None:
            return denoiser
        if self.distilled.boundary == "time":
            return ConsistencyFunction(denoiser, TimeBoundary(schedule))
        return ConsistencyFunction(denoiser, LevelBoundary(schedule.lowest))

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Of what is denoised."""
        side = self.size // self.factor
        return side, side, self.unet.in_channels

    def abstract(self) -> Any:
        """The network's shapes."""
        network = eqx.filter_eval_shape(self.unet.build, key=jax.random.key(0))
        if self.upscaling is None:
            return network
        return eqx.filter_eval_shape(concatenated, network, self.unet.in_channels)


def save_model(run: Run, model: Model) -> None:
    """Writes `model.json` into the run folder."""
    text = json.dumps(to_json(model), indent=2) + "\n"
    once("model.json", lambda: write_atomic(run.path / "model.json", text))


def load_model(run: Run) -> Model:
    """Reads what `save_model` wrote."""
    return from_json(Model, json.loads((run.path / "model.json").read_text(encoding="utf-8")))


def pipeline(run: Run, model: Model, network: Any) -> TextToImage:
    """Captions to pictures with this network and the run's own VAE."""
    if model.upscaling is not None:
        raise ValueError(
            f"{run.path} makes pictures larger and none of captions: python recipes/upscale.py "
            f"{run.path} PICTURE."
        )
    vae, _ = load_vae(run.path / "vae")
    if isinstance(network, Captioned):
        text, network = network.text, network.network
    else:
        text = text_encoder(run, model.caption_length)
    guidance = Guided if model.unet.guidance_width is None else EmbeddedGuidance
    return TextToImage(model.denoiser(network), vae, text, model.latent_shape, guidance)


def run_text(folder: Path | None, run: Run, length: int) -> AbstractTextEncoder:
    """The text encoder of a run; one that is not MiniLM is put into the run folder."""

    def save() -> None:
        if folder is None or (run.path / "text_encoder").exists():
            return
        parts = (folder / "text_encoder", folder / "tokenizer")
        encoder = load_text_encoder(*(parts if parts[0].is_dir() else (folder,)))
        shutil.rmtree(run.path / "tokenizer", ignore_errors=True)  # of a launch that was killed
        with replacing(run.path / "text_encoder") as to, replacing(run.path / "tokenizer") as words:
            save_text_encoder(to, encoder, words)

    once("text encoder", save)
    return text_encoder(run, length)


def text_encoder(run: Run, length: int) -> AbstractTextEncoder:
    """What `run_text` chose."""
    own = run.path / "text_encoder"
    if own.exists():
        return load_text_encoder(own, run.path / "tokenizer", length=length)
    return load_minilm(length=length)


def run_vae(folder: Path | None, run: Run) -> None:
    """Puts the VAE's files into the run folder, so that the run needs nothing else."""

    def copy() -> None:
        if not (run.path / "vae").exists():
            with replacing(run.path / "vae") as temporary:
                shutil.copytree(folder or shipped_vae(), temporary)

    once("vae", copy)
