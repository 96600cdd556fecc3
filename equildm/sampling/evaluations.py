"""How many network evaluations a solver takes, and how many steps a number of evaluations pays for.

An evaluation is one call of the denoiser. Classifier-free guidance is not counted here: it makes
two evaluations of the network of one of the denoiser (see `AbstractNetworkConfig.branches`).
"""

import functools
from collections.abc import Callable, Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import Condition, NoiseLevel
from .sampling import sample
from .solvers import make_solver

Grid: TypeAlias = Callable[[int], Float[np.ndarray, "levels"]]
"""Noise levels of so many steps."""


def count_evaluations(solver: str, levels: Float[np.ndarray, "levels"]) -> int:
    """The evaluations of the denoiser that a solver makes on a grid of noise levels.

    They are counted while the solver runs with a trivial denoiser on one number. So the count holds
    for any solver, also where the steps differ: a last step of `heun` to level 0 takes one, the
    others take two.

    **Arguments:**

    - `solver`: a name in `SOLVERS`.
    - `levels`: a falling grid, see `equildm.noise.grids`.

    **Raises** `ValueError` for an unknown name or a grid that cannot be stepped through.
    """
    return _counted(solver, tuple(np.asarray(levels).tolist()))


@functools.cache  # each count compiles the solver
def _counted(solver: str, levels: tuple[float, ...]) -> int:
    calls: list[int] = []

    def denoiser(y: Array, s: NoiseLevel, condition: Condition) -> Array:
        jax.debug.callback(lambda: calls.append(1))
        return 0.5 * y

    state = sample(
        denoiser, jnp.ones(1), np.array(levels), make_solver(solver), key=jax.random.key(0)
    )
    jax.block_until_ready(state)
    jax.effects_barrier()
    return len(calls)


def evaluations_on(solver: str, steps: int, grid: Grid) -> int:
    """The evaluations of a solver in so many steps.

    From 4 steps on they are linear in the steps, so that grids of 4 and 5 steps tell them. Fewer
    are counted.

    **Arguments:**

    - `solver`: a name in `SOLVERS`.
    - `steps`: at least 1.
    - `grid`: the noise levels of so many steps, for instance `partial(grids.trailing, schedule)`.
    """
    if steps < 4:
        return count_evaluations(solver, grid(steps))
    four, five = (count_evaluations(solver, grid(number)) for number in (4, 5))
    return four + (five - four) * (steps - 4)


def steps_within(solver: str, evaluations: Sequence[int], grid: Grid) -> list[int]:
    """The most steps that each number of evaluations pays for; 0 where it pays for none.

    **Arguments:**

    - `solver`: a name in `SOLVERS`.
    - `evaluations`: how many the solver may make in a sample.
    - `grid`: the noise levels of so many steps, for instance `partial(grids.trailing, schedule)`.
    """
    four, five = (evaluations_on(solver, steps, grid) for steps in (4, 5))

    def most(number: int) -> int:
        if number >= four:
            return (number - four) // (five - four) + 4
        paid = (steps for steps in (3, 2, 1) if evaluations_on(solver, steps, grid) <= number)
        return next(paid, 0)

    return list(map(most, evaluations))
