"""Scores models of super_resolution.py beside bicubic and their VAE, on the same held-out images.

PSNR, SSIM and LPIPS of each, with 95 % confidence intervals over images, and the differences to the
others, paired by square. Writes scores.json, and an image with a row for each square. --color-fix
adds a row of the colours alone, on grey: that part of the score is not the model's.

    python recipes/evaluate_upscaler.py runs/upscale runs/upscale-scratch --count 96
"""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

import equildm as eqd


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Scores models of super_resolution.py beside bicubic and their VAE."""

    models: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders of super_resolution.py with the same data, size, scale and held-out share."""
    count: int = 64
    """Held-out squares that are scored."""
    solver: eqd.SolverName | None = None
    """Name of the solver; by default each model's own."""
    sampling_steps: int = 16
    """Steps of the solver."""
    color_fix: float = 0.0
    """Takes colours from the small image: structure coarser than so many of its pixels, e.g. 2."""
    ema: str | None = None
    """Average of the weights by name; `none` for the weights as trained."""
    sets: tuple[eqd.SetMetricName, ...] = ()
    """Scores of the images as a set, beside the originals."""
    extractor: eqd.Flat[eqd.ExtractorConfig] = eqd.ExtractorConfig()
    rows: int = 6
    """Squares in the image."""
    show: tuple[str, ...] = ()
    """Names of the held-out images that these squares are cut from; by default the first ones."""
    out: Path = Path("runs/upscalers")
    """Folder for the table and the image."""

    def __post_init__(self) -> None:
        if not self.models:
            raise ValueError("evaluate_upscaler.py takes at least one run of super_resolution.py.")


def main(config: Config) -> None:
    eqd.enable_compile_cache()
    data = eqd.DegradedDataConfig.of_runs(config.models)
    _, held_out = data.splits()
    squares = data.held_squares(held_out, config.count)
    eqd.check_enough(config.sets, len(squares.images))
    names = [held_out.name(int(group)) for group in squares.groups]
    shown = [i for i, name in enumerate(names) if not config.show or name in config.show]
    if not shown:
        raise ValueError(
            f"--show takes names of held-out images, received {config.show}. They are "
            f"{', '.join(dict.fromkeys(names))}."
        )

    # Every model enlarges every square; square i from seed i.
    methods, evaluations = {"bicubic": eqd.bicubic_baseline(squares.low, data.size)}, {}
    for path in config.models:
        upscaler = eqd.Upscaler(eqd.load_pretrained(path, ema=config.ema))
        solver = config.solver or upscaler.model.config.solver
        evaluations[str(path)] = eqd.study.evaluations_in(
            solver, config.sampling_steps, partial(upscaler.model.levels, solver=config.solver)
        )
        images = upscaler.batch(
            squares.low,
            steps=config.sampling_steps,
            solver=config.solver,
            color_fix=config.color_fix,
        )
        methods[str(path)] = eqd.to_uint8(images)
    if config.color_fix:
        methods["colours alone"] = eqd.color_baseline(squares.low, data.size, config.color_fix)
    vae = eqd.load_vae(config.models[0] / "vae")
    methods["vae"] = eqd.reconstruction_baseline(vae, squares.images)

    # Scores of each image, and of the images as a set.
    scorer = eqd.RestorationScorer()
    scores = {name: scorer(images, squares.images) for name, images in methods.items()}
    table = eqd.restoration_table(scores, squares.groups)
    if config.sets:
        extractor = config.extractor.load()
        for name, images in methods.items():
            for score in eqd.compare_sets(
                config.sets, images, squares.images, extractor, real_name="held-out squares"
            ):
                table[name][score.name] = score.value

    for name, values in scores.items():
        print(f"{name:32s}{values.summary(squares.groups)}")
    solver = config.solver or "each model's own solver"
    config.out.mkdir(parents=True, exist_ok=True)
    document = {
        "squares": len(squares.images),
        "images": len(np.unique(squares.groups)),
        "interval": "95 %, bootstrap over images",
        "sampler": f"{solver}, {config.sampling_steps} steps",
        "evaluations": evaluations,
        "color_fix": config.color_fix,
        "scores": table,
    }
    eqd.write_json(config.out / "scores.json", document)

    small = squares.low.repeat(data.scale, 1).repeat(data.scale, 2)
    columns = {"small": small, **methods, "original": squares.images}
    grid = np.stack([images[shown[: config.rows]] for images in columns.values()], axis=1)
    labels = [Path(name).name for name in columns] * len(grid)
    grid = grid.reshape(-1, *grid.shape[2:])
    eqd.save_png(config.out / "images.png", eqd.image_grid(grid, labels, columns=len(columns)))
    print(f"Written to {config.out}.")


if __name__ == "__main__":
    eqd.run_command(main, Config, __doc__)
