"""Compares samplers on a trained model at equal numbers of network evaluations.

Each is run from the same noise for the same captions. Its error is the distance of its latents from
a fine solution, over the spread of the latents: of the probability flow for the deterministic ones;
for the stochastic ones of the reverse SDE along the same Brownian path. Leaves a plot, a table
and pictures (a row for each solver, a column for each number of evaluations).

    python recipes/compare_samplers.py runs/emoji
    python recipes/compare_samplers.py runs/emoji --solvers ddim dpm++2m tsit5 --grid karras
"""

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import choices
import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib
import models
import networks
import numpy as np
import tyro
from jaxtyping import Array, Float
from rich.console import Console
from rich.table import Table

from equildm.denoise import Guided
from equildm.interop import load_vae
from equildm.noise import grids
from equildm.runtime import (
    enable_compile_cache,
    picture_grid,
    Progress,
    Run,
    save_png,
    to_uint8,
    write_atomic,
)
from equildm.sample import default_time, Level, levy_area, needs_key, sample
from equildm.text import embed

REFERENCES = {"flow": "heun", "noise level": "sde-dpm++2m", "half log SNR": "shark"}
"""What finds the fine solution of each problem: the flow, and the SDE in either variable."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Compares samplers on a trained model at equal numbers of network evaluations."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder that pretrain.py left."""
    solvers: tuple[str, ...] = (
        *("ddim", "dpm++2m", "dpm++2s", "dpm++3m", "unipc2", "unipc3", "heun", "tsit5", "dopri5"),
        *("ddpm", "sde-dpm++2m", "sra1", "shark"),
    )
    """Samplers by name."""
    evaluations: tuple[int, ...] = (4, 6, 8, 12, 16, 24, 32, 48, 64)
    """Network evaluations; a method of several a step takes fewer steps."""
    prompts: tuple[str, ...] = ("red heart", "grinning face", "cat face", "flag of japan")
    """Captions that errors are taken over; the pictures are of the first."""
    count: int = 2
    """Samples of each caption."""
    cfg: float = 3.0
    """Guidance weight."""
    grid: choices.Grid = "trailing"
    """How the noise levels are spaced, as in sample.py."""
    reference: int = 250
    """Steps of the fine solution."""
    seed: int = 0
    """Of the noise."""
    out: Path | None = None
    """Folder for what is made; by default `samplers` in the run."""


def problem(name: str) -> str:
    """Which of the problems a solver solves."""
    solver = choices.solver(name)
    if not needs_key(solver):
        return "flow"
    return "noise level" if isinstance(default_time(solver), Level) else "half log SNR"


def evaluations(name: str, levels: Float[np.ndarray, " levels"]) -> int:
    """How often a solver asks the denoiser on this grid: counted on one that does nothing."""
    calls = []

    def denoiser(y: Array, s: Array, condition: Any) -> Array:
        jax.debug.callback(lambda: calls.append(1))
        return 0.5 * y

    one = jnp.ones(1)
    jax.block_until_ready(
        sample(denoiser, one, levels, choices.solver(name), key=jax.random.key(0))
    )
    jax.effects_barrier()
    return len(calls)


def steps_for(name: str, grid: Callable[[int], np.ndarray], budgets: tuple[int, ...]) -> list[int]:
    """The most steps that each budget pays for; 0 where it pays for none."""
    few, more = (evaluations(name, grid(steps)) for steps in (4, 5))
    each = more - few
    return [max((budget - few) // each + 4, 0) for budget in budgets]


def main(config: Config) -> None:
    problems = {name: problem(name) for name in config.solvers}
    enable_compile_cache()
    run = Run.open(config.run)
    model = models.load_model(run)
    network, step = networks.load_network(run, model)
    guided = Guided(model.denoiser(network), jnp.asarray(config.cfg))
    grid = partial(choices.GRIDS[config.grid], choices.SCHEDULES[model.schedule])

    text = embed(models.text_encoder(run, model.caption_length), [*config.prompts, ""])
    conditions = jax.tree.map(lambda leaf: np.repeat(leaf[:-1], config.count, axis=0), text)
    null = jax.tree.map(lambda leaf: leaf[-1], text)
    keys = jax.random.split(jax.random.key(config.seed), len(config.prompts) * config.count)
    longest = max(config.reference, *config.evaluations) + 1

    @eqx.filter_jit
    def run_solver(solver: Any, levels: Array, guided: Guided) -> Array:
        def one(condition: Any, key: Array) -> Array:
            noise_key, path_key = jax.random.split(key)
            noise = jax.random.normal(noise_key, model.latent_shape)
            path = None
            if needs_key(solver):
                shape = jax.ShapeDtypeStruct(model.latent_shape, jnp.float32)
                path = diffrax.VirtualBrownianTree(  # covers any level and the logarithm of any
                    -25.0, 25.0, 1e-4, shape, path_key, levy_area(solver)
                )
            pair = (condition, null)
            return sample(guided, noise, levels, solver, condition=pair, path=path)

        return jax.vmap(one)(conditions, keys)

    def latents(name: str, steps: int) -> Array:
        levels = jnp.asarray(grids.pad(grid(steps), longest), jnp.float32)
        return run_solver(choices.solver(name), levels, guided)

    errors: dict[str, dict[int, float]] = {}
    first: dict[tuple[str, int], Array] = {}
    total = len(set(problems.values())) + len(config.solvers)
    with Progress(total, label="comparing", unit="solvers") as progress:
        fine = {}
        for number, kind in enumerate(sorted(set(problems.values())), start=1):
            fine[kind] = latents(REFERENCES[kind], config.reference)
            progress.update(number)
        for number, name in enumerate(config.solvers, start=len(fine) + 1):
            errors[name] = {}
            for budget, steps in zip(
                config.evaluations, steps_for(name, grid, config.evaluations), strict=True
            ):
                if steps:
                    made = latents(name, steps)
                    target = fine[problems[name]]
                    distance = jnp.sqrt(jnp.mean((made - target) ** 2)) / jnp.std(target)
                    errors[name][budget] = float(distance)
                    first[name, budget] = made[0]
            progress.update(number)

    out = config.out or run.path / "samplers"
    out.mkdir(parents=True, exist_ok=True)
    vae, _ = load_vae(run.path / "vae")
    blank = jnp.zeros_like(fine[problems[config.solvers[0]]][0])
    cells = [(name, budget) for name in config.solvers for budget in config.evaluations]
    decode = eqx.filter_jit(jax.vmap(lambda latent: vae.decode(vae.unscaled(latent))))
    images = decode(jnp.stack([first.get(cell, blank) for cell in cells]))
    labels = [f"{name} {budget}" if (name, budget) in first else "" for name, budget in cells]
    picture = picture_grid(to_uint8(np.asarray(images)), labels, columns=len(config.evaluations))
    save_png(out / "pictures.png", picture)
    written = {"step": step, "cfg": config.cfg, "grid": config.grid, "errors": errors}
    write_atomic(out / "errors.json", json.dumps(written, indent=2) + "\n")
    plot(errors, problems, out / "errors.png")
    Console().print(table(errors, config.evaluations))
    print(f"Plot, pictures and numbers are in {out}.")


def table(errors: dict[str, dict[int, float]], budgets: tuple[int, ...]) -> Table:
    """Errors by solver and number of evaluations."""
    made = Table("solver", *map(str, budgets), title="Error by number of network evaluations")
    for name, row in errors.items():
        made.add_row(name, *(f"{row[b]:.2g}" if b in row else "-" for b in budgets))
    return made


def plot(errors: dict[str, dict[int, float]], problems: dict[str, str], out: Path) -> None:
    """Errors over evaluations, all solvers: stochastic ones dashed."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5.5), layout="constrained")
    markers = "os^vD<>Pp*hX8"
    for number, (name, row) in enumerate(errors.items()):
        style = "-" if problems[name] == "flow" else "--"
        marker = markers[number % len(markers)]
        axes.loglog(list(row), list(row.values()), style, marker=marker, label=name, markersize=4)
    axes.set(xlabel="network evaluations", ylabel="distance from the fine solution / spread")
    axes.grid(alpha=0.3, which="both")
    axes.legend(ncols=2, fontsize="small")
    figure.savefig(out, dpi=120)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
