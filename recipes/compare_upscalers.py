"""Runs of super_resolution.py beside bicubic and their VAE, on the same held-out pictures.

PSNR, SSIM and LPIPS of each, with 95 % intervals over photographs, and the differences to the
others, paired by square. Leaves scores.json and a picture with a row for each square. With
--recolour there are also the colours alone, put on grey: what is not the model's doing.

    python recipes/compare_upscalers.py runs/upscale runs/upscale-scratch --count 96
"""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import choices
import models
import networks
import numpy as np
import tyro
import upscaling
from scores import compare_sets, interval
from super_resolution import Config as SuperResolution

from equildm.data.degrade import DEGRADATIONS
from equildm.interop import load_vae
from equildm.noise import grids
from equildm.runtime import enable_compile_cache, picture_grid, Run, save_png, write_atomic


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Runs of super_resolution.py beside bicubic and their VAE, on the same held-out pictures."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders with the same data, size, scale and held-out share."""
    count: int = 64
    """Held-out squares."""
    solver: str = "ddim"
    """Sampler by name."""
    steps: int = 16
    """Of the sampler."""
    recolour: float = 0.0
    """Take colours of the small picture: all that is coarser than so many of its pixels, e.g. 2."""
    average: str | None = None
    """Which average of the weights; `none` for the weights as trained."""
    sets: tuple[Literal["fid", "kid", "is"], ...] = ()
    """Scores of the pictures as a set: beside the true ones by VGG16, or by themselves (is)."""
    rows: int = 6
    """Squares in the picture."""
    show: tuple[str, ...] = ()
    """Held-out pictures, by name, that they are of; by default as they come."""
    out: Path = Path("runs/upscalers")
    """Folder for the table and the picture."""


def main(config: Config) -> None:
    if not config.runs:
        raise ValueError("compare_upscalers.py needs a run of super_resolution.py.")
    solver = choices.solver(config.solver)
    enable_compile_cache()
    trained = [Run.open(path).load_config(SuperResolution) for path in config.runs]
    first = trained[0]
    same = ("data", "shrink", "size", "scale", "degradation", "held_out")
    for path, other in zip(config.runs, trained, strict=True):
        wrong = [name for name in same if getattr(other, name) != getattr(first, name)]
        if wrong:
            raise ValueError(
                f"Runs are compared on the same pictures; {path} and {config.runs[0]} differ in "
                f"{', '.join(wrong)}."
            )
    _, held_out = upscaling.sources(first.data, first.shrink, first.held_out)
    degradation = DEGRADATIONS[first.degradation](first.scale)
    held = upscaling.held_squares(held_out, first.size, degradation, config.count)

    names = [held_out.name(int(group)) for group in held.groups]
    shown = [i for i, name in enumerate(names) if not config.show or name in config.show]
    if not shown:
        raise ValueError(
            f"--show takes names of held-out pictures, received {config.show}. They are "
            f"{', '.join(dict.fromkeys(names))}."
        )

    made = {"bicubic": upscaling.bicubic(held.low, first.size)}
    for path in config.runs:
        run = Run.open(path)
        model = models.load_model(run)
        network, _ = networks.load_network(run, model, average=config.average)
        make = upscaling.upscaler(run, model, network)
        levels = grids.trailing(choices.SCHEDULES[model.schedule], config.steps)
        options: dict[str, Any] = {"solver": solver, "recolour": config.recolour}
        made[str(path)] = upscaling.upscaled(make, held.low, levels, **options)
    if config.recolour:
        made["colours alone"] = upscaling.colours_alone(held.low, first.size, config.recolour)
    vae, _ = load_vae(config.runs[0] / "vae")
    made["vae"] = upscaling.through(vae, held.images)

    score = upscaling.scorer()
    values = {name: score(images, held.images) for name, images in made.items()}
    table = {name: summary(values, name, held.groups) for name in values}
    for name, images in made.items():
        reference = "held-out squares"
        about: dict[str, Any] = {"inception": None, "resize": "tf1", "seed": 0}
        for found in compare_sets(config.sets, images, held.images, reference, **about):
            table[name][found.name] = found.value

    for name, row in table.items():
        line = "   ".join(
            f"{kind} {row[kind]:.4f} [{row[f'{kind} interval'][0]:.4f}, "
            f"{row[f'{kind} interval'][1]:.4f}]"
            for kind in upscaling.SCORES
        )
        print(f"{name:32s}{line}")
    document = {
        "squares": len(held.images),
        "pictures": len(np.unique(held.groups)),
        "interval": "95 %, bootstrap over pictures",
        "sampler": f"{config.solver}, {config.steps} steps",
        "recolour": config.recolour,
        "scores": table,
    }
    config.out.mkdir(parents=True, exist_ok=True)
    write_atomic(config.out / "scores.json", json.dumps(document, indent=2) + "\n")

    small = held.low.repeat(first.scale, 1).repeat(first.scale, 2)
    columns = {"small": small, **made, "true": held.images}
    grid = np.stack([images[shown[: config.rows]] for images in columns.values()], axis=1)
    labels = [Path(name).name for name in columns] * len(grid)
    grid = grid.reshape(-1, *grid.shape[2:])
    save_png(config.out / "pictures.png", picture_grid(grid, labels, columns=len(columns)))
    print(f"Written to {config.out}.")


def summary(values: dict[str, dict[str, np.ndarray]], name: str, groups: np.ndarray) -> dict:
    """Means with intervals, and paired differences to the others."""
    row: dict = {}
    for kind, found in values[name].items():
        row[kind] = round(float(found.mean()), 4)
        row[f"{kind} interval"] = interval(found, groups)
        for other in [other for other in values if other != name]:
            difference = found - values[other][kind]
            row[f"{kind} over {other}"] = round(float(difference.mean()), 4)
            row[f"{kind} over {other} interval"] = interval(difference, groups)
    return row


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
