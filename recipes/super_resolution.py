"""Trains a model that makes pictures larger, from a pretrained one.

The small picture, resized up and encoded, is put beside the noisy latent: the first convolution
gets as many channels more, with weights of zero, so that the start is the pretrained model. Small
pictures are made of large ones as they come up (`equildm.data.degrade`).

By default: 8-pixel emoji to 32 pixels, from fresh weights.

    python recipes/super_resolution.py --start runs/emoji
    python recipes/super_resolution.py --start runs/emoji --data photographs --shrink 2 --size 64
    python recipes/super_resolution.py --start runs/mine --data my_photographs/ --size 256
    python recipes/upscale.py runs/upscale picture.jpg
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import choices
import jax
import jax.numpy as jnp
import models
import numpy as np
import tyro
import upscaling
from finetuning import FineTuning, objective_of, optimizer_of, Start, started, trained_part
from training import launch, MAY_CHANGE, train

from equildm.data import AbstractSource, Restoration
from equildm.data.degrade import DEGRADATIONS
from equildm.data.restoration import check_scale
from equildm.denoise import concatenated, PictureCondition
from equildm.noise import grids
from equildm.runtime import (
    count_parameters,
    fetch,
    first_process,
    picture_grid,
    Run,
    say,
    write_atomic,
)
from equildm.text import embed
from equildm.train import Intervals, SuperResolution, TrainState


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(FineTuning):
    """Trains a model that makes pictures larger, from a pretrained one."""

    run: Path = Path("runs/upscale")
    """Folder for everything that this run leaves."""
    start: str = "none"
    """A run folder of pretrain.py, a folder of diffusers with a Stable Diffusion, or `none` for
    fresh weights."""
    steps: int = 600
    """Updates in all."""
    batch_size: int = 16
    """Examples an update, over all devices."""
    data: str = "emoji"
    """photographs (Debian's wallpapers), a folder of pictures, emoji, or what pretrain.py takes."""
    shrink: int = 1
    """Pictures are made smaller by this whole factor first; 2 for photographs of a camera."""
    size: int = 32
    """Side of the large pictures that are trained on: squares cut out of the data."""
    scale: int = 4
    """By how much pictures get larger."""
    degradation: Literal["real-esrgan", "bicubic"] = "real-esrgan"
    """How small pictures are made of large ones."""
    augmentation: float = 0.1
    """Share of the schedule up to which small pictures are noised; 0 for none."""
    captions: Literal["none", "own"] = "none"
    """Whether the model is told the pictures' captions."""
    dropout: float = 0.1
    """Share of own captions that are left out."""
    crops: int = 16
    """Squares of each picture in an epoch."""
    held_out: float = 0.05
    """Share of pictures kept from training, by caption or else by file."""
    count: int = 48
    """Held-out squares that are scored at the end."""
    sampling_steps: int = 16
    """Of DDIM, for pictures and scores."""
    every: Intervals = Intervals(log=10, save=500, sample=500)
    """Intervals in steps."""

    def check(self) -> None:
        """Refuses what cannot work, before anything is loaded."""
        super().check()
        check_scale(self.size, self.scale)


def main(config: Config) -> None:
    mesh = launch(config)
    training, held_out = upscaling.sources(config.data, config.shrink, config.held_out)
    degradation = DEGRADATIONS[config.degradation](config.scale)
    held = upscaling.held_squares(held_out, config.size, degradation, config.count)
    say(f"{len(training)} pictures, {len(held_out)} held out.")
    may_change = (*MAY_CHANGE, "count", "sampling_steps")
    run = Run.create(
        config.run, config, "super_resolution", resume=config.resume, may_change=may_change
    )

    # The network: the pretrained one, with room for a second latent.
    start = started(config, run, mesh, size=config.size)
    model = dataclasses.replace(
        start.model, upscaling=models.Upscaling(config.scale, config.augmentation)
    )
    models.save_model(run, model)
    network = concatenated(start.network, model.unet.in_channels)
    say(f"{count_parameters(network) / 1e6:.1f}M parameters, of {start.said}.")

    # Data: squares of pictures, and small ones of them.
    captions = [""] if config.captions == "none" else own_captions(training)
    dataset = Restoration(
        training,
        config.size,
        config.scale,
        degradation,
        text=embed(start.text, captions),
        crops=config.crops,
    )
    check_start(start, network, model)

    # What it learns.
    dropout = 0.0 if config.captions == "none" else config.dropout
    objective = SuperResolution(
        objective_of(config, start, start.null_text(), dropout), start.vae, config.augmentation
    )
    part = trained_part(config, network, run)
    levels = grids.trailing(choices.SCHEDULES[model.schedule], config.sampling_steps)

    def upscaled(state: TrainState, low: np.ndarray) -> np.ndarray:
        network = fetch(part.whole(state.average()))
        return upscaling.upscaled(upscaling.upscaler(run, model, network), low, levels)

    state = train(
        config,
        run,
        part.model,
        dataset,
        part.on(objective),
        optimizer_of(config, 1e-4 if model.unet.width >= 64 else 5e-4),
        choices.EMAS[model.ema],
        pictures_of(held, config.size, upscaled),
    )
    made = upscaled(state, held.low)
    if not first_process():
        return
    scores = upscaling.scorer()
    quality = {
        name: {kind: round(float(v.mean()), 4) for kind, v in scores(images, held.images).items()}
        for name, images in (
            ("bicubic", upscaling.bicubic(held.low, config.size)),
            ("model", made),
            ("vae", upscaling.through(start.vae, held.images)),
        )
    }
    document = {"squares": len(held.images), "step": int(state.step), "scores": quality}
    write_atomic(run.path / "quality.json", json.dumps(document, indent=2) + "\n")
    for name, values in quality.items():
        print(f"{name:8s}" + "".join(f"{kind} {value:8.4f}   " for kind, value in values.items()))
    print(f"Pictures are in {run.samples}. More: python recipes/upscale.py {run.path} PICTURE")


def check_start(start: Start, network: Any, model: models.Model) -> None:
    """Raises `AssertionError` unless the widened network does what the pretrained one does."""
    noise, picture = jax.random.normal(jax.random.key(0), (2, *model.latent_shape))
    text, t = start.null_text(), jnp.asarray(500.0)
    before = jax.jit(lambda network: network(noise, t, text))(start.network)
    condition = PictureCondition(text, picture, jnp.asarray(50.0))
    after = jax.jit(lambda network: network(noise, t, condition))(network)
    difference = float(jnp.max(jnp.abs(after - before)))
    assert difference <= 1e-4 * float(jnp.max(jnp.abs(before))), difference


def own_captions(source: AbstractSource) -> list[str]:
    """Of every picture; `ValueError` if one has none."""
    return [source.caption(i) for i in range(len(source))]


def pictures_of(
    held: upscaling.Held, size: int, upscaled: Callable[[TrainState, np.ndarray], np.ndarray]
) -> Callable[[TrainState], np.ndarray]:
    """Of a few held-out squares: small, bicubic, made, true."""
    true, low = held.images[:8], held.low[:8]
    repeat = size // low.shape[1]
    small = low.repeat(repeat, 1).repeat(repeat, 2)
    larger = upscaling.bicubic(low, size)

    def pictures(state: TrainState) -> np.ndarray:
        columns = np.stack([small, larger, upscaled(state, low), true], axis=1)
        labels = ["small", "bicubic", "made", "true"] * len(true)
        return picture_grid(columns.reshape(-1, size, size, 3), labels, columns=4)

    return pictures


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
