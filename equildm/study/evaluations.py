"""How many evaluations of the denoiser a solver makes in so many steps."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loaded where they are used: options are shown without jax
    from ..sampling.evaluations import Grid


def evaluations_in(solver: str, steps: int, grid: "Grid | None" = None) -> int:
    """The evaluations of a solver in so many steps.

    **Arguments:**

    - `solver`: a name in `SOLVERS`.
    - `steps`: at least 1.
    - `grid`: the noise levels of so many steps, by default `grids.trailing` of `ScaledLinear()`. On
        levels that begin without signal, or do not end at 0, some solvers make other numbers.
    """
    from ..sampling import evaluations_on

    return evaluations_on(solver, steps, grid or _usual_grid())


def evaluations_within(
    solver: str, budgets: Sequence[int], grid: "Grid | None" = None
) -> dict[int, int]:
    """How many of each number of evaluations a solver makes use of, in as many steps as these pay.

    A solver of several a step leaves some of them: of 4 evaluations `heun` makes 3, in 2 steps.

    **Arguments:**

    - `solver`: a name in `SOLVERS`.
    - `budgets`: numbers of evaluations; one that pays for no step is left out.
    - `grid`: see `evaluations_in`.
    """
    from ..sampling import steps_within

    steps = steps_within(solver, budgets, grid or _usual_grid())
    return {budget: evaluations_in(solver, n, grid) for budget, n in zip(budgets, steps) if n}


def _usual_grid() -> "Grid":
    from ..noise import grids, ScaledLinear

    return functools.partial(grids.trailing, ScaledLinear())
