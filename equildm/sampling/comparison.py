"""Samplers compared at equal numbers of network evaluations.

All start from the same noise. The error of a sampler is the root mean square distance of its
latents to a fine solution of the same problem, over the standard deviation of that solution. There
are three problems: the probability flow for deterministic solvers; for stochastic solvers the
reverse SDE along one Brownian path for each sample, in the variable that the solver steps in.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import Condition, Key, Keys
from ..noise import grids
from ..runtime import Progress
from .evaluations import steps_within
from .sampling import sample
from .solve import default_time, levy_area, needs_key
from .solvers import make_solver
from .terms import Denoiser
from .time_variable import Level

Problem = Literal["flow", "SDE in the noise level", "SDE in the half log SNR"]

FINE_SOLVERS: Mapping[Problem, str] = {
    "flow": "heun",
    "SDE in the noise level": "sde-dpm++2m",
    "SDE in the half log SNR": "shark",
}
"""The solver of the fine solution of each problem."""

Latents = Float[Array, "samples height width channels"]


class SamplerComparison(NamedTuple):
    """Errors of samplers by name, and by the number of network evaluations."""

    errors: dict[str, dict[int, float]]
    """The relative error; a number of evaluations that pays for no step is left out."""
    latents: dict[str, dict[int, Latents]]
    """The latents that they are of."""


def problem_of(solver: str) -> Problem:
    """The problem that a solver solves, by its name in `SOLVERS`."""
    instance = make_solver(solver)
    if not needs_key(instance):
        return "flow"
    in_levels = isinstance(default_time(instance), Level)
    return "SDE in the noise level" if in_levels else "SDE in the half log SNR"


def compare_samplers(
    denoiser: Denoiser,
    conditions: Condition,
    null: Condition,
    keys: Keys,
    latent_shape: tuple[int, int, int],
    grid: Callable[[int], Float[np.ndarray, "levels"]],
    *,
    solvers: Sequence[str],
    evaluations: Sequence[int],
    fine_steps: int = 250,
) -> SamplerComparison:
    """Runs each solver with each number of network evaluations.

    **Arguments:**

    - `denoiser`: with guidance, conditioned on `(condition, null)`.
    - `conditions`: one for each sample, with a leading axis.
    - `null`: one condition that guidance leads away from, without that axis.
    - `keys`: of the noise and the Brownian path of each sample.
    - `latent_shape`: of one sample.
    - `grid`: the noise levels of so many steps, for instance `partial(grids.trailing, schedule)`.
    - `solvers`: names in `SOLVERS`.
    - `evaluations`: of the denoiser in a sample; a solver of several a step takes fewer steps.
    - `fine_steps`: of the fine solutions.

    **Raises** `ValueError` if the evaluations pay for no step of any solver.
    """
    problems = {name: problem_of(name) for name in solvers}
    steps = {name: steps_within(name, evaluations, grid) for name in solvers}
    if not any(max(numbers) for numbers in steps.values()):
        raise ValueError(
            f"Evaluations pay for a step of a solver at least, received {tuple(evaluations)} for "
            f"{', '.join(solvers)}. Give more."
        )
    longest = max(fine_steps, *evaluations) + 1
    inputs = (conditions, null, keys)
    highest = float(grid(fine_steps)[0])

    def solve(name: str, count: int) -> Latents:
        levels = jnp.asarray(grids.pad(grid(count), longest), jnp.float32)
        span = _span(problem_of(name), highest)
        return _solve(denoiser, levels, make_solver(name), inputs, latent_shape, span)

    distinct = sorted(set(problems.values()))
    errors: dict[str, dict[int, float]] = {name: {} for name in solvers}
    latents: dict[str, dict[int, Latents]] = {name: {} for name in solvers}
    with Progress(len(distinct) + len(solvers), label="comparing", unit="solvers") as progress:
        fine = {}
        for problem in distinct:
            fine[problem] = solve(FINE_SOLVERS[problem], fine_steps)
            progress.update(len(fine))
        for number, name in enumerate(solvers, start=len(fine) + 1):
            target = fine[problems[name]]
            for budget, count in zip(evaluations, steps[name]):
                if count:
                    result = solve(name, count)
                    error = jnp.sqrt(jnp.mean((result - target) ** 2)) / jnp.std(target)
                    errors[name][budget], latents[name][budget] = float(error), result
            progress.update(number)
    return SamplerComparison(errors, latents)


def _span(problem: Problem, highest: float) -> tuple[float, float]:
    """The interval of a problem's Brownian paths.

    It is twice 25, which holds the logarithms of any levels, and the levels themselves of most
    schedules. Higher levels take one that begins at 0, where single precision resolves low levels.
    """
    if problem == "SDE in the noise level" and highest > 25:
        return 0.0, 2.0 ** math.ceil(math.log2(highest))
    return -25.0, 25.0


@eqx.filter_jit
def _solve(
    denoiser: Denoiser,
    levels: Float[Array, "levels"],
    solver: diffrax.AbstractSolver,
    inputs: tuple[Condition, Condition, Keys],
    latent_shape: tuple[int, int, int],
    span: tuple[float, float],
) -> Latents:
    conditions, null, keys = inputs

    def one(condition: Condition, key: Key) -> Float[Array, "height width channels"]:
        noise_key, path_key = jax.random.split(key)
        noise = jax.random.normal(noise_key, latent_shape)
        path = None
        if needs_key(solver):
            shape = jax.ShapeDtypeStruct(latent_shape, jnp.float32)
            path = diffrax.VirtualBrownianTree(*span, 1e-4, shape, path_key, levy_area(solver))
        return sample(denoiser, noise, levels, solver, condition=(condition, null), path=path)

    return jax.vmap(one)(conditions, keys)
