"""Makes pictures larger with a run of super_resolution.py.

python recipes/upscale.py runs/upscale picture.jpg
python recipes/upscale.py runs/upscale *.png --steps 50 --level 50 --out large/
"""

import dataclasses
import time
from pathlib import Path
from typing import Annotated

import choices
import models
import networks
import tyro
from upscaling import read_picture, upscaler

from equildm.noise import grids
from equildm.runtime import enable_compile_cache, Run, save_png, to_uint8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Makes pictures larger with a run of super_resolution.py."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder that super_resolution.py left."""
    pictures: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Files, of any size."""
    out: Path = Path("samples")
    """Folder for the large pictures, PNG."""
    solver: str = "ddim"
    """Sampler by name."""
    steps: int = 20
    """Of the sampler."""
    level: float = 0.0
    """Noise that the small picture is given first, as a time of 0 to 999: more invents more."""
    recolour: float = 0.0
    """Take colours of the small picture: all that is coarser than so many of its pixels, e.g. 2."""
    seed: int = 0
    """The same one makes the same picture."""
    average: str | None = None
    """Which average of the run's weights; `none` for the weights as trained."""
    overlap: int | None = None
    """Of the tiles that large pictures are made of, in positions of the latent."""


def main(config: Config) -> None:
    if not config.pictures:
        raise ValueError("upscale.py needs a picture. Name a file after the run.")
    solver = choices.solver(config.solver)
    enable_compile_cache()
    run = Run.open(config.run)
    model = models.load_model(run)
    network, step = networks.load_network(run, model, average=config.average)
    make = upscaler(run, model, network)
    levels = grids.trailing(choices.SCHEDULES[model.schedule], config.steps)
    config.out.mkdir(parents=True, exist_ok=True)
    for path in config.pictures:
        picture, began = read_picture(path), time.perf_counter()
        large = make(
            picture,
            levels=levels,
            seed=config.seed,
            solver=solver,
            level=config.level,
            overlap=config.overlap,
            recolour=config.recolour,
        )
        out = config.out / f"{path.stem}_x{make.scale}.png"
        save_png(out, to_uint8(large))
        height, width = picture.shape[:2]
        seconds = time.perf_counter() - began
        print(f"{path}: {width}x{height} to {out} by step {step} in {seconds:.1f} s.")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
