"""The public schedulers and our solvers, over the same cases, to compare their final states."""

from collections.abc import Callable, Iterator
from itertools import count, product
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from oracle import GaussianMixture

from benchmarks.scheduler_parity import HandedOver
from equildm.sampling import needs_key, reverse_sde, solve, StepGrid

STEPS = (1, 2, 3, 4, 10, 20, 50)
SPACINGS = ("leading", "linspace", "trailing")
SHAPE = (4, 2, 2)

Case = dict[str, Any]
MakeSolver = Callable[[Array, Array], diffrax.AbstractSolver]


class Inputs(NamedTuple):
    """One batch element of noise to start from, fresh noise for each step, and the mixture."""

    noise: np.ndarray
    fresh: np.ndarray
    means: np.ndarray
    stds: np.ndarray


def cases(
    scheduler: str,
    variants: tuple[dict[str, Any], ...] = ({},),
    *,
    spacings: tuple[str, ...] = SPACINGS,
    every: bool = True,
    **options: Any,
) -> list[Case]:
    """All steps and spacings, with every prediction and schedule, or else one of these in turn."""
    models = list(product(("epsilon", "v_prediction"), ("scaled_linear", "squaredcos_cap_v2")))
    turn: Iterator[int] = count()
    runs = []
    for variant, steps, spacing in product(variants, STEPS, spacings):
        for prediction, betas in models if every else [models[next(turn) % len(models)]]:
            chosen = {"use_karras_sigmas": True} if spacing == "karras" else {}
            if spacing in SPACINGS:
                chosen = {"timestep_spacing": spacing}
            basic = {
                "beta_start": 0.00085,
                "beta_end": 0.012,
                "beta_schedule": betas,
                "prediction_type": prediction,
            }
            runs.append(
                {
                    "scheduler": scheduler,
                    "steps": steps,
                    "options": basic | chosen | variant | options,
                }
            )
    return runs


def public(peer: Any, inputs: Inputs, runs: list[Case], *, double: bool) -> list[dict[str, Any]]:
    """What the public schedulers answer to each case."""
    out = peer("schedulers", {"cases": [c | {"double": double} for c in runs]}, **inputs._asdict())
    names = ("final", "start", "stop")
    return [{name: out[f"{i}/{name}"] for name in names} for i in range(len(runs))]


def along(oracle: Any, solver: Any, steps: Array, noise: Array, fresh: Array) -> Array:
    """The grid in one solve. `steps` has a row of starts and a row of stops."""
    start, stop = steps
    last = jnp.sum(start > 0) - 1
    grid = jnp.where(jnp.arange(len(start) + 1) > last, stop[last], jnp.append(start, 0))
    y = noise * jnp.sqrt(1 + grid[0] ** 2)
    if not needs_key(solver):
        return solve(oracle, y, grid, solver).ys[-1]
    solution = diffrax.diffeqsolve(
        reverse_sde(oracle, HandedOver(grid, fresh)),
        solver,
        grid[0],
        grid[-1],
        None,
        y,
        stepsize_controller=StepGrid(grid),
        throw=False,
    )
    return solution.ys[-1]


def by_step(oracle: Any, solver: Any, steps: Array, noise: Array, fresh: Array) -> Array:
    """One solve for each step, for the public schedulers that do not go on from where they stop.

    They step to the time `1000 / steps` earlier, whatever the next time of their grid is, and
    carry over x, not y.
    """

    def body(carry: tuple[Array, Array], step: Any) -> tuple[tuple[Array, Array], None]:
        x, level = carry
        s0, s1, z = step
        y = along(oracle, solver, jnp.stack([s0, s1])[:, None], x, z[None])
        real = s0 > 0
        return (jnp.where(real, y / jnp.sqrt(1 + s1**2), x), jnp.where(real, s1, level)), None

    (x, level), _ = jax.lax.scan(body, (noise, steps[0, 0]), (*steps, fresh))
    return x * jnp.sqrt(1 + level**2)


def ours(
    inputs: Inputs,
    runs: list[Case],
    theirs: list[dict[str, Any]],
    solver: MakeSolver,
    run: Callable[..., Array],
    join: Callable[[np.ndarray], np.ndarray],
    lower_final: Callable[[Case], bool],
    dtype: str,
) -> np.ndarray:
    """The final states of all cases, from the levels that the public schedulers tell."""
    oracle = GaussianMixture(jnp.asarray(inputs.means, dtype), jnp.asarray(inputs.stds, dtype))
    noise, fresh = jnp.asarray(inputs.noise[0], dtype), jnp.asarray(inputs.fresh[:, 0], dtype)
    steps = [join(np.stack([answer["start"], answer["stop"]])) for answer in theirs]
    ends = [
        last_levels(row) if lower_final(case) else np.zeros(2) for case, row in zip(runs, steps)
    ]
    padded = [np.pad(row, ((0, 0), (0, max(STEPS) - row.shape[1]))) for row in steps]

    @jax.jit
    @jax.vmap
    def batch(row: Array, end: Array) -> Array:
        return run(oracle, solver(end[1], end[0]), row, noise, fresh)

    return np.asarray(batch(*(jnp.asarray(np.stack(x), dtype) for x in (padded, ends))))


def last_levels(steps: np.ndarray) -> np.ndarray:
    """The last level but one and the last. Of a last step of no length, the last and none."""
    start, stop = steps
    if stop[-1] > start[-1] * (1 - 1e-4):
        return np.array([stop[-1], 0])
    return np.append(start[:1], stop)[-2:]
