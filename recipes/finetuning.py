"""What recipes that fine-tune have in common: where they start, what they train, at which rates."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import choices
import equinox as eqx
import jax
import jax.numpy as jnp
import models
import networks
import optax
from jax.sharding import Mesh
from training import Training

from equildm.denoise import preset
from equildm.interop import load_stable_diffusion, load_vae
from equildm.latents import VAE
from equildm.nn import initialised, merged, new_adapters
from equildm.runtime import Checkpoints, Run
from equildm.text import AbstractTextEncoder, embed
from equildm.train import (
    AbstractObjective,
    check_patterns,
    divided,
    LatentDiffusion,
    matching,
    OnAdapters,
    OnPart,
    rate_groups,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FineTuning(Training):
    """Options of a run that starts from trained weights."""

    start: str
    """A run folder of pretrain.py, a folder of diffusers with a Stable Diffusion, or `none` for
    fresh weights."""
    average: str | None = None
    """Which average of a run's weights; `none` for the weights as trained."""
    preset: str = "tiny"
    """Size of fresh weights: tiny, mini, small, 39M .. 5B, or a width."""
    vae: Path | None = None
    """Folder of another VAE with latents like those of the start's own."""
    train: tuple[str, ...] = ("*",)
    """Paths of the arrays that are trained, as patterns such as "*attention*"."""
    lora: int | None = None
    """Train adapters of this rank for the attention, and nothing else."""
    groups: tuple[str, ...] = ()
    """Groups of learning rates: PATTERN=FACTOR, such as "text.*=0.1"; the first to fit counts."""
    ema: Literal["power", "decay", "decay-0.999", "decay-0.95"] = "decay-0.999"
    """Averages of the weights."""
    weight: Literal["uniform", "min-snr", "p2", "edm"] = "min-snr"
    """How much each noise level counts in the loss."""
    times: Literal["uniform", "logit-normal", "log-snr"] = "uniform"
    """How training times are drawn."""
    compute: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the network; auto is bfloat16 on accelerators."""
    remat: Literal["none", "blocks", "dots"] = "none"
    """Activations to compute again in the backward pass, to save memory."""

    def factors(self) -> dict[str, float]:
        """Of learning rates, by pattern."""
        found = {}
        for group in self.groups:
            pattern, equals, factor = group.rpartition("=")
            try:
                found[pattern] = float(factor) if equals and pattern else float("nan")
            except ValueError:
                found[pattern] = float("nan")
            if not found[pattern] >= 0:
                raise ValueError(
                    f"A group of learning rates is PATTERN=FACTOR, received {group!r}. Use for "
                    "instance 'text.*=0.1'."
                )
        return found

    def check(self) -> None:
        """Refuses what cannot work, before anything is loaded."""
        super().check()
        self.factors()
        if self.lora is not None and self.train != ("*",):
            raise ValueError(
                "A run trains adapters or a part of the weights, one of the two: leave --lora or "
                "--train out."
            )


class Start(NamedTuple):
    """A model to go on from; its VAE and text encoder are in the new run's folder."""

    network: Any
    model: models.Model
    vae: VAE
    text: AbstractTextEncoder
    said: str
    """Which weights these are."""

    def null_text(self) -> Any:
        """Embedding of the empty caption."""
        return jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), embed(self.text, [""]))


def started(config: FineTuning, run: Run, mesh: Mesh, *, size: int | None = None) -> Start:
    """What `config.start` names, with pictures of `size` pixels or of those it was trained on."""
    folder = Path(config.start)
    if config.start == "none":
        found = _fresh(config, run, mesh)
    elif (folder / "model.json").is_file():
        found = _of_run(config, run, mesh)
    elif (folder / "unet").is_dir():
        found = _of_diffusers(folder, config, run, mesh)
    else:
        raise ValueError(
            f"A start is a run folder, a folder of diffusers or 'none'; {folder} is none of these. "
            "python recipes/pretrain.py makes runs/emoji."
        )
    model = found.model
    if found.vae.latent_channels != model.unet.in_channels or found.vae.factor != model.factor:
        raise ValueError(
            f"The model takes latents of {model.unet.in_channels} channels and {model.factor} "
            f"pixels a position; the VAE makes {found.vae.latent_channels} and {found.vae.factor}."
        )
    size = size or model.size
    step = model.factor * 2 ** (len(model.unet.multipliers) - 1)
    if size % step:
        raise ValueError(
            f"Pictures of this model have sides that are multiples of {step}, received {size}."
        )
    model = dataclasses.replace(
        model, size=size, ema=config.ema, lora=config.lora, train=config.train
    )
    return found._replace(model=model)


def objective_of(config: FineTuning, start: Start, null_text: Any, dropout: float):
    """The loss of latents and captions, with the schedule and the prediction of the start."""
    return LatentDiffusion(
        schedule=choices.SCHEDULES[start.model.schedule],
        prediction=choices.PREDICTIONS[start.model.prediction],
        weight=choices.WEIGHTS[config.weight],
        times=choices.TIMES[config.times],
        null_text=null_text,
        dropout=dropout,
        policy=choices.policy(config.compute),
        remat=config.remat,
    )


class Trained(NamedTuple):
    """What of a network is trained."""

    model: Any
    """The model of the `TrainState`."""
    whole: Callable[[Any], Any]
    """From a model of that form to the network."""
    on: Callable[[AbstractObjective], AbstractObjective]
    """From an objective of the network to one of that model."""


def trained_part(config: FineTuning, network: Any, run: Run) -> Trained:
    """Adapters, some of the arrays or all, as the options say.

    What is not trained goes into the run's `base/`. The first step takes over the memory of what
    is.
    """
    if config.lora is not None:
        adapters = new_adapters(network, config.lora, key=jax.random.key(config.seed))
        _keep(network, run)
        return Trained(
            adapters,
            lambda adapters: merged(network, adapters),
            lambda objective: OnAdapters(objective, network),
        )
    if config.train == ("*",):
        return Trained(network, lambda network: network, lambda objective: objective)
    check_patterns(network, config.train)
    model, frozen = divided(network, matching(*config.train))
    _keep(frozen, run)
    return Trained(
        model,
        lambda model: eqx.combine(model, frozen),
        lambda objective: OnPart(objective, frozen),
    )


def optimizer_of(config: FineTuning, default_rate: float) -> optax.GradientTransformation:
    """AdamW at the rates of the options."""
    optimizer, factors = config.make_optimizer(default_rate), config.factors()
    return optax.chain(optimizer, rate_groups(factors)) if factors else optimizer


def _keep(frozen: Any, run: Run) -> None:
    with Checkpoints(run.path / "base") as base:
        if base.latest() is None:
            base.save(0, {"model": eqx.filter(frozen, eqx.is_array)}, {})


def _fresh(config: FineTuning, run: Run, mesh: Mesh) -> Start:
    models.run_vae(config.vae, run)
    vae, vae_config = load_vae(run.path / "vae")
    text = models.run_text(None, run, 16)
    channels = vae_config.latent_channels
    model = models.Model(
        unet=preset(
            config.preset,
            in_channels=channels,
            out_channels=channels,
            context_width=text.width,
        ),
        size=32,
        factor=vae_config.factor,
        prediction="v",
        schedule="scaled-linear",
        caption_length=16,
        ema=config.ema,
    )
    network = initialised(lambda: model.unet.build(key=jax.random.key(config.seed)), mesh)
    return Start(network, model, vae, text, "fresh weights")


def _of_run(config: FineTuning, run: Run, mesh: Mesh) -> Start:
    source = Run.open(Path(config.start))
    model = models.load_model(source)
    if model.distilled is not None or model.trains_text or model.upscaling is not None:
        raise ValueError(
            f"{source.path} was distilled or fine-tuned itself: start from the run of pretrain.py."
        )
    network, step = networks.load_network(source, model, average=config.average, mesh=mesh)
    models.run_vae(config.vae or source.path / "vae", run)
    own_text = source.path if (source.path / "text_encoder").exists() else None
    text = models.run_text(own_text, run, model.caption_length)
    vae, _ = load_vae(run.path / "vae")
    return Start(network, model, vae, text, f"step {step} of {source.path}")


def _of_diffusers(folder: Path, config: FineTuning, run: Run, mesh: Mesh) -> Start:
    found = load_stable_diffusion(folder, mesh=mesh)
    if found.unet_config.guidance_width is not None:
        raise ValueError(f"{folder} was distilled: start from the model that it is a student of.")
    models.run_vae(config.vae or folder / "vae", run)
    text = models.run_text(folder, run, found.text.length)
    vae, vae_config = load_vae(run.path / "vae")
    model = models.Model(
        unet=found.unet_config,
        size=found.sample_size * vae_config.factor,
        factor=vae_config.factor,
        prediction=_name(choices.PREDICTIONS, found.scheduler.prediction, "prediction"),
        schedule=_name(choices.SCHEDULES, found.scheduler.schedule, "schedule"),
        caption_length=found.text.length,
        ema=config.ema,
    )
    return Start(found.unet, model, vae, text, str(folder))


def _name(known: dict[str, Any], value: Any, what: str) -> Any:
    """By which a run's model.json calls it."""
    for name, candidate in known.items():
        if eqx.tree_equal(candidate, value):
            return name
    raise ValueError(f"A run's {what} is one of {', '.join(known)}; these weights have {value}.")
