"""What several recipes put together: choices by name, a run folder's model, pictures of it."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import diffrax
import equinox as eqx
import jax
import numpy as np
from jax.sharding import Mesh

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
from equildm.nn import merged, new_adapters
from equildm.noise import (
    AbstractPrediction,
    AbstractSchedule,
    AbstractTimes,
    AbstractWeight,
    Clean,
    EDM,
    Epsilon,
    grids,
    LogitNormalTimes,
    LogSNRUniformTimes,
    MinSNR,
    P2,
    ScaledLinear,
    SquaredCosine,
    Uniform,
    UniformTimes,
    Velocity,
    ZeroTerminalSNR,
)
from equildm.runtime import (
    abstract,
    Checkpoints,
    from_json,
    once,
    Policy,
    replacing,
    Run,
    to_json,
    write_atomic,
)
from equildm.sample import SOLVERS, TextToImage
from equildm.text import AbstractTextEncoder, Captioned
from equildm.train import (
    AbstractEMA,
    DecayEMA,
    divided,
    matching,
    pack,
    posthoc_average,
    PowerEMA,
    Snapshot,
    unpack,
)

PREDICTIONS: dict[str, AbstractPrediction] = {"eps": Epsilon(), "v": Velocity(), "x0": Clean()}
SCHEDULES: dict[str, AbstractSchedule] = {
    "scaled-linear": ScaledLinear(),
    "squared-cosine": SquaredCosine(),
    "scaled-linear-zero-snr": ZeroTerminalSNR(ScaledLinear()),
}
WEIGHTS: dict[str, AbstractWeight] = {
    "uniform": Uniform(),
    "min-snr": MinSNR(),
    "p2": P2(),
    "edm": EDM(),
}
TIMES: dict[str, AbstractTimes] = {
    "uniform": UniformTimes(),
    "logit-normal": LogitNormalTimes(),
    "log-snr": LogSNRUniformTimes(),
}
Grid = Literal["trailing", "leading", "linspace", "karras", "uniform-lambda"]
GRIDS: dict[Grid, Callable[[AbstractSchedule, int], np.ndarray]] = {
    "trailing": grids.trailing,
    "leading": grids.leading,
    "linspace": grids.linspace,
    "karras": grids.karras,
    "uniform-lambda": grids.uniform_lambda,
}
EMAS: dict[str, AbstractEMA] = {
    "power": PowerEMA(),
    "decay": DecayEMA(),
    "decay-0.999": DecayEMA(0.999),
    "decay-0.95": DecayEMA(0.95),
}


def policy(name: Literal["auto", "float32", "bfloat16"]) -> Policy:
    """The arithmetic of that name; auto is what suits the device."""
    return Policy.default() if name == "auto" else Policy(name)


def solver(name: str) -> diffrax.AbstractSolver:
    """The sampler of that name."""
    if name not in SOLVERS:
        raise ValueError(f"A solver is one of {', '.join(SOLVERS)}; received {name!r}.")
    return SOLVERS[name]()


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


def load_network(
    run: Run,
    model: Model,
    *,
    average: str | None = None,
    step: int | None = None,
    mesh: Mesh | None = None,
):
    """A run's network and the step it is from.

    `average` is one of the run's averages by name (the first by default), `"none"` for the weights
    as they were trained, or a relative width such as `"0.07"`: made of the run's snapshots.
    `step` is that of a checkpoint or of a snapshot; the newest checkpoint by default. With `mesh`
    the network lies in shards on it.
    """
    whole = _abstract(run, model)
    trained, frozen = _divided(model, whole)
    trained, step = _load_trained(run, model, trained, average, step, mesh)
    if frozen is None:
        return trained, step
    base = Checkpoints(run.path / "base").restore({"model": _shapes(frozen, mesh)}).items["model"]
    return eqx.combine(trained, base) if model.lora is None else merged(base, trained), step


def _abstract(run: Run, model: Model) -> Any:
    """The shapes of the network, and of its text encoder where that was trained too."""
    if not model.trains_text:
        return model.abstract()
    text = text_encoder(run, model.caption_length)
    return Captioned(model.abstract(), eqx.filter_eval_shape(lambda text: text, text))


def _divided(model: Model, whole: Any) -> tuple[Any, Any]:
    """The shapes of what was trained, and of what it belongs to where that is not the same."""
    if model.lora is not None:
        key = jax.random.key(0)
        return eqx.filter_eval_shape(new_adapters, whole, model.lora, key=key), whole
    if model.train == ("*",):
        return whole, None
    return divided(whole, matching(*model.train))


def _shapes(tree: Any, mesh: Mesh | None) -> Any:
    shapes = eqx.filter(tree, lambda x: isinstance(x, jax.ShapeDtypeStruct))
    return shapes if mesh is None else abstract(shapes, mesh)


def _load_trained(
    run: Run,
    model: Model,
    trained: Any,
    average: str | None,
    step: int | None,
    mesh: Mesh | None,
):
    names = EMAS[model.ema].names()
    shapes = _shapes(trained, mesh)
    averages = (_shapes(jax.eval_shape(pack, shapes), mesh),) * len(names)
    if average not in (None, "none", *names):
        return _posthoc(run, model, average, averages, shapes, step)
    checkpoints = Checkpoints(run.checkpoints)
    if average == "none":
        restored = checkpoints.restore({"model": shapes}, step)
        return restored.items["model"], restored.step
    if step is not None and step not in checkpoints.steps() and run.averages.exists():
        checkpoints = Checkpoints(run.averages)
    restored = checkpoints.restore({"ema": averages}, step)
    return unpack(restored.items["ema"][names.index(average or names[0])], shapes), restored.step


def _posthoc(run: Run, model: Model, average: Any, averages: Any, shapes: Any, step: int | None):
    """An average of a width that was not kept (Karras et al. 2024, section 3.2)."""
    ema, kept = EMAS[model.ema], Checkpoints(run.averages)
    try:
        width = float(average)
    except ValueError:
        width = -1.0
    if width <= 0 or not isinstance(ema, PowerEMA) or not kept.steps():
        raise ValueError(
            f"This run keeps the averages {', '.join(ema.names())}; received {average!r}. Use one "
            "of these, or 'none' for the trained weights. With pretrain.py --ema power --snapshots "
            "N it may be any relative width, such as 0.07."
        )
    step = step or kept.steps()[-1]
    snapshots = [
        Snapshot(number, sigma_rel, found)
        for number in kept.steps()
        for sigma_rel, found in zip(
            ema.sigma_rels, kept.restore({"ema": averages}, number).items["ema"], strict=True
        )
    ]
    return unpack(posthoc_average(snapshots, step, width), shapes), step


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
