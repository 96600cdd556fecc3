"""What can be sampled: a run folder of these recipes, or the weights of a public pipeline."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import parts

from equildm.interop import load_stable_diffusion
from equildm.runtime import Progress, Run
from equildm.sample import TextToImage


class Source(NamedTuple):
    """Captions to pictures, with what suits this model best."""

    make: TextToImage
    sampler: str
    """Name of the sampler to take unless another is asked for."""
    levels: Callable[[int, str, parts.Grid | None], np.ndarray]
    """The noise levels for a number of steps and a sampler, on a grid or the model's own."""
    pictures: Path
    """Where pictures go."""
    said: str
    """Which weights these are."""


def open_run(path: Path, *, average: str | None = None, step: int | None = None) -> Source:
    """A run folder of `pretrain.py`, at a step, with one of its averages."""
    run = Run.open(path)
    model = parts.load_model(run)
    network, step = parts.load_network(run, model, average=average, step=step)

    def levels(steps: int, sampler: str, grid: parts.Grid | None) -> np.ndarray:
        del sampler
        return parts.GRIDS[grid or "trailing"](parts.SCHEDULES[model.schedule], steps)

    make = parts.pipeline(run, model, network)
    return Source(make, "ddim", levels, run.samples, f"step {step} of {path}")


def open_weights(path: Path, *, height: int | None = None, width: int | None = None) -> Source:
    """A folder of diffusers with a Stable Diffusion."""
    files = path.rglob("*.safetensors")
    total = sum(os.path.getsize(file) for file in files) // 2**20
    with Progress(total, label="reading weights", unit="MiB") as progress:
        read = 0

        def advance(size: int) -> None:
            nonlocal read
            read += size
            progress.update(min(read // 2**20, total))

        model = load_stable_diffusion(path, advance=advance)

    def levels(steps: int, sampler: str, grid: parts.Grid | None) -> np.ndarray:
        if grid is None:
            return model.scheduler.levels(steps, sampler)
        return parts.GRIDS[grid](model.scheduler.schedule, steps)

    make = model.text_to_image(height, width)
    return Source(make, model.scheduler.sampler, levels, Path("samples"), str(path))
