"""Compares samplers on a trained model within equal numbers of network evaluations.

All start from the same noise for the same captions. The error of a sampler is the distance of its
latents to a fine solution, over the spread of the latents: that of the probability flow for the
deterministic samplers, that of the reverse SDE along the same Brownian path for the stochastic
ones. The recipe leaves a plot, the numbers, and images: a row for each sampler, a column for each
number of evaluations.

    python recipes/compare_samplers.py runs/emoji
    python recipes/compare_samplers.py runs/emoji --solvers ddim dpm++2m my_solver.py:MySolver
    python recipes/compare_samplers.py stable-diffusion-v1-5/ --out runs/samplers --count 1
"""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console

import equildm as eqd


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Compares samplers on a trained model within equal numbers of network evaluations."""

    model: Annotated[Path, tyro.conf.Positional]
    """A run folder, a folder of diffusers, or `emoji` (the model that ships)."""
    ema: str | None = None
    """Which average of a run's weights; `none` for the weights as trained."""
    solvers: tuple[eqd.SolverName | str, ...] = (
        *("ddim", "plms", "lms", "deis3", "dpm++2m", "dpm++3m", "unipc2", "unipc3", "dpm++2s"),
        *("dpm2", "heun", "tsit5", "dopri5", "ddpm", "sde-dpm++2m", "dpm++sde", "sra1", "shark"),
    )
    """Samplers by name, and of your own: my_solver.py:MySolver."""
    evaluations: tuple[int, ...] = (4, 6, 8, 12, 16, 24, 32, 48, 64)
    """Network evaluations in a sample; a sampler of several a step takes fewer steps."""
    fine_steps: int = 250
    """Steps of the fine solution."""
    prompts: tuple[str, ...] = ("red heart", "grinning face", "cat face", "flag of japan")
    """Captions that the errors are over; the images are of the first."""
    count: int = 2
    """Samples of each caption."""
    guidance_scale: float | None = None
    """Scale of classifier-free guidance; by default the model's own."""
    grid: eqd.GridName = "trailing"
    """Spacing of the noise levels."""
    seed: int = 0
    """Seed of the noise."""
    out: Path | None = None
    """Folder for the results; by default `samplers` in the run."""

    def __post_init__(self) -> None:
        if not (self.solvers and self.evaluations and self.prompts):
            raise ValueError("Give at least one of --solvers, --evaluations and --prompts.")
        eqd.check_solvers(*self.solvers, option="solvers")
        numbers = (*self.evaluations, self.fine_steps, self.count)
        if min(numbers) < 1:
            raise ValueError(
                "--evaluations, --fine-steps and --count are at least 1, received "
                f"{', '.join(map(str, numbers))}."
            )


def main(config: Config) -> None:
    import equinox as eqx  # not at the top, so that --help is quick
    import jax
    import jax.numpy as jnp

    step = eqd.run_step(config.model, ema=config.ema)
    eqd.enable_compile_cache()
    model = eqd.load_pretrained(config.model, ema=config.ema)
    if step is None and config.out is None:
        raise ValueError(f"{config.model} is no run folder to leave the results in. Give --out.")
    if model.config.network.condition_type is not eqd.TextEmbedding:
        raise ValueError(f"Samplers are compared on captions; {config.model} takes images as well.")
    scale = model.config.guidance_scale if config.guidance_scale is None else config.guidance_scale

    # The same captions, noise and guidance for every sampler.
    text = eqd.embed(model.text_encoder, [*config.prompts, ""])
    conditions = jax.tree.map(lambda leaf: np.repeat(leaf[:-1], config.count, axis=0), text)
    null = jax.tree.map(lambda leaf: leaf[-1], text)
    keys = jax.random.split(jax.random.key(config.seed), len(config.prompts) * config.count)
    levels = partial(eqd.GRIDS[config.grid], model.schedule)
    comparison = eqd.compare_samplers(
        model.config.network.guided(model.denoiser, jnp.asarray(scale)),
        conditions,
        null,
        keys,
        model.config.latent_shape,
        levels,
        solvers=config.solvers,
        evaluations=config.evaluations,
        fine_steps=config.fine_steps,
    )

    out = config.out or config.model / "samplers"
    out.mkdir(parents=True, exist_ok=True)
    latents, labels = eqd.study.first_latents(comparison, config.evaluations)
    decode = eqx.filter_jit(lambda vae, latents: jax.vmap(vae.decode_scaled)(latents))
    images = np.asarray(decode(model.vae, latents))
    grid = eqd.image_grid(eqd.to_uint8(images), labels, columns=len(config.evaluations))
    eqd.save_png(out / "images.png", grid)
    eqd.study.error_figure(comparison, levels).savefig(out / "errors.png", dpi=120)
    facts = {"step": step, "guidance_scale": scale, "grid": config.grid}
    counts = {
        name: eqd.study.evaluations_within(name, config.evaluations, levels)
        for name in config.solvers
    }
    document = facts | {"errors": comparison.errors, "evaluations made": counts}
    eqd.write_json(out / "errors.json", document)
    Console().print(eqd.study.error_table(comparison, config.evaluations))
    eqd.log(f"Plot, images and numbers are in {out}.")


if __name__ == "__main__":
    eqd.run_command(main, Config, __doc__)
