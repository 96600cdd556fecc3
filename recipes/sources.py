"""What can be sampled and converted: run folders of these recipes, weights of public pipelines."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import choices
import equinox as eqx
import models
import networks
import numpy as np

from equildm.interop import (
    folder_tables,
    load_single_file,
    load_stable_diffusion,
    load_vae,
    read_lora,
    Scheduler,
    StableDiffusion,
)
from equildm.nn import merged
from equildm.runtime import Progress, Run
from equildm.sample import TextToImage
from equildm.text import CLIPText


class Source(NamedTuple):
    """Captions to pictures, with what suits this model best."""

    make: TextToImage
    sampler: str
    """Name of the sampler to take unless another is asked for."""
    levels: Callable[[int, str, choices.Grid | None], np.ndarray]
    """The noise levels for a number of steps and a sampler, on a grid or the model's own."""
    pictures: Path
    """Where pictures go."""
    said: str
    """Which weights these are."""
    steps: int = 50
    """Of the sampler, unless told otherwise."""
    weight: float = 3.0
    """Of guidance, unless told otherwise."""


def open_run(
    path: Path,
    *,
    average: str | None = None,
    step: int | None = None,
    steps: int | None = None,
) -> Source:
    """A run folder of `pretrain.py` or `distill.py`, at a step, with one of its averages.

    Where a run has students for several numbers of sampling steps, `steps` chooses among them.
    """
    run = Run.open(path)
    model = models.load_model(run)
    distilled = model.distilled
    if step is None and distilled is not None:
        step = distilled.stage(steps or distilled.steps)
    network, step = networks.load_network(run, model, average=average, step=step)

    def levels(steps: int, sampler: str, grid: choices.Grid | None) -> np.ndarray:
        del sampler
        return choices.GRIDS[grid or "trailing"](choices.SCHEDULES[model.schedule], steps)

    make = models.pipeline(run, model, network)
    source = Source(make, "ddim", levels, run.samples, f"step {step} of {path}")
    if distilled is None:
        return source
    sampler, steps, weight = distilled.sampler, distilled.steps, distilled.weight
    return source._replace(sampler=sampler, steps=steps, weight=weight)


def open_weights(
    path: Path,
    *,
    tokenizer: Path | None = None,
    loras: Sequence[Path] = (),
    lora_scale: float = 1.0,
    height: int | None = None,
    width: int | None = None,
) -> Source:
    """A folder of diffusers, or a single file, with a Stable Diffusion and adapters for it."""
    model = read_model(path, tokenizer=tokenizer)
    for lora in loras:
        model = with_lora(model, lora, lora_scale)

    def levels(steps: int, sampler: str, grid: choices.Grid | None) -> np.ndarray:
        if grid is None:
            return model.scheduler.levels(steps, sampler)
        return choices.GRIDS[grid](model.scheduler.schedule, steps)

    make = model.text_to_image(height, width)
    return Source(make, model.scheduler.sampler, levels, Path("samples"), str(path))


def with_lora(model: StableDiffusion, path: Path, scale: float) -> StableDiffusion:
    """The model with adapters added to the weights of its UNet and text encoder."""
    tables = {name: table for name, _, table in folder_tables(model) if name != "vae"}
    adapters = read_lora(path, tables)
    unet = merged(model.unet, adapters.get("unet", {}), scale)
    text = model.text
    if "text_encoder" in adapters:
        assert isinstance(text, CLIPText)  # the layers of no other encoder are in such a file
        tower = merged(text.tower, adapters["text_encoder"], scale)
        text = eqx.tree_at(lambda text: text.tower, text, tower)
    return dataclasses.replace(model, unet=unet, text=text)


def read_model(
    path: Path,
    *,
    tokenizer: Path | None = None,
    prediction: Literal["epsilon", "v_prediction"] | None = None,
    average: str | None = None,
    dtype: str = "float32",
) -> StableDiffusion:
    """The parts of a run folder, of a folder of diffusers or of a single file.

    **Arguments:**

    - `path`: which of the three it is, is told by what it holds.
    - `tokenizer`, `prediction`: for a single file, see `load_single_file`.
    - `average`: of a run's weights.
    - `dtype`: of the arrays in memory.
    """
    if not path.exists():
        raise ValueError(
            f"There is no {path}. Give a run folder, a folder of diffusers or a .safetensors file."
        )
    if (path / "model.json").is_file():
        return _run_model(path, average)
    if average is not None:
        raise ValueError(f"{path} is no run folder and has no averages: leave --average out.")
    files = list(path.rglob("*.safetensors")) if path.is_dir() else [path]
    total = sum(os.path.getsize(file) for file in files if file.is_file())
    with moving("reading", total) as advance:
        if path.is_dir():
            return load_stable_diffusion(path, dtype=dtype, advance=advance)
        if tokenizer is None:
            raise ValueError(
                f"{path} is a single file, which does not hold CLIP's vocabulary: give a folder "
                "with vocab.json and merges.txt as --tokenizer."
            )
        options: dict[str, Any] = {"dtype": dtype, "advance": advance}
        return load_single_file(path, tokenizer, prediction=prediction, **options)


def _run_model(path: Path, average: str | None) -> StableDiffusion:
    run = Run.open(path)
    model = models.load_model(run)
    network, _ = networks.load_network(run, model, average=average)
    make = models.pipeline(run, model, network)
    _, vae_config = load_vae(run.path / "vae")
    scheduler = Scheduler(
        choices.SCHEDULES[model.schedule],
        choices.PREDICTIONS[model.prediction],
        spacing="trailing",
        ends_clean=True,
    )
    side, _, _ = model.latent_shape
    return StableDiffusion(network, model.unet, make.vae, vae_config, make.text, scheduler, side)


@contextlib.contextmanager
def moving(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Shows how many of `total` bytes have been moved; told the bytes of each tensor."""
    moved = 0
    with Progress(max(1, total >> 20), label=label, unit="MiB") as progress:

        def advance(size: int) -> None:
            nonlocal moved
            moved += size
            progress.update(min(moved, total) >> 20)

        yield advance
