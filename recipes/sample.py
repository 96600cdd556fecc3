"""Makes pictures from a run folder.

python recipes/sample.py runs/emoji --prompt "red heart" "green apple"
python recipes/sample.py runs/emoji --prompt "cat face" --count 8 --solver dpm++2m --steps 12
python recipes/sample.py runs/emoji --prompt "cat face" --cfg 1 2 4 8 --seed 3
"""

import dataclasses
import time
from pathlib import Path
from typing import Annotated

import parts
import tyro

from equildm.runtime import enable_compile_cache, picture_grid, Run, save_png, to_uint8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Makes pictures from a run folder."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder that pretrain.py left."""
    prompt: tuple[str, ...]
    """Captions; each is a row of the picture."""
    negative: str = ""
    """What to be guided away from."""
    count: int = 4
    """Pictures of each caption."""
    cfg: tuple[float, ...] = (3.0,)
    """Guidance weights; 1 is the plain conditional model. Several make a column each."""
    solver: str = "ddim"
    """Sampler by name."""
    steps: int = 50
    """Steps of the sampler."""
    grid: parts.Grid = "trailing"
    """How the noise levels are spaced."""
    rescale: float = 0.0
    """Guidance rescale (Lin et al. 2023); 0.7 where colours are too strong."""
    seed: int = 0
    """Picture i starts from the same noise whatever else is asked for."""
    average: str | None = None
    """Which average of the weights: by name, `none` for the weights as trained, or a relative width
    such as 0.07 where the run has snapshots."""
    checkpoint: int | None = None
    """Step of the checkpoint; the newest by default."""
    batch: int = 16
    """Pictures made at a time."""
    out: Path | None = None
    """PNG to write; by default in the run's samples/."""


def main(config: Config) -> None:
    if not config.prompt:
        raise ValueError("sample.py needs a caption. Pass --prompt 'red heart'.")
    solver = parts.solver(config.solver)
    enable_compile_cache()
    run = Run.open(config.run)
    model = parts.load_model(run)
    network, step = parts.load_network(run, model, average=config.average, step=config.checkpoint)
    make = parts.pipeline(run, model, network)

    weights = [weight for weight in config.cfg for _ in range(config.count)]
    captions = [prompt for prompt in config.prompt for _ in weights]
    began = time.perf_counter()
    images = make(
        captions,
        levels=parts.GRIDS[config.grid](parts.SCHEDULES[model.schedule], config.steps),
        seeds=[i % config.count for i in range(len(captions))],
        seed=config.seed,
        solver=solver,
        weight=weights * len(config.prompt),
        negative=config.negative,
        rescale=config.rescale,
        batch=config.batch,
    )
    seconds = time.perf_counter() - began
    labels = [
        f"{caption} w={weight:g}" if len(config.cfg) > 1 else caption
        for caption, weight in zip(captions, weights * len(config.prompt), strict=True)
    ]
    picture = picture_grid(to_uint8(images), labels, columns=len(weights))
    out = config.out or unused(run.samples / f"{config.solver}_{config.steps}.png")
    save_png(out, picture)
    print(f"{len(images)} pictures at step {step} in {seconds:.1f} s, compiling included: {out}")


def unused(path: Path) -> Path:
    """`path`, with a number if it is taken: no picture is overwritten."""
    candidates = (path.with_stem(f"{path.stem}_{n}") for n in range(1, 10**6))
    return path if not path.exists() else next(c for c in candidates if not c.exists())


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
