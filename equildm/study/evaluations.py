"""How many evaluations of the denoiser a solver makes in so many steps."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loaded where they are used: options are shown without jax
    from ..noise import AbstractSchedule
    from ..sampling.evaluations import Grid


def evaluations_in(solver: str, steps: int, schedule: "AbstractSchedule | None" = None) -> int:
    """The evaluations of a solver in so many steps.

    **Arguments:**

    - `solver`: a name in `SOLVERS`.
    - `steps`: at least 1.
    - `schedule`: of the model, by default `ScaledLinear()`. Where it ends without signal, some
        solvers make an evaluation less.
    """
    from ..sampling import evaluations_on

    return evaluations_on(solver, steps, _grid(schedule))


def evaluations_within(
    solver: str, budgets: Sequence[int], schedule: "AbstractSchedule | None" = None
) -> dict[int, int]:
    """How many of each number of evaluations a solver makes use of, in as many steps as these pay.

    A solver of several a step leaves some of them: of 4 evaluations `heun` makes 3, in 2 steps.

    **Arguments:**

    - `solver`: a name in `SOLVERS`.
    - `budgets`: numbers of evaluations; one that pays for no step is left out.
    - `schedule`: see `evaluations_in`.
    """
    from ..sampling import steps_within

    steps = steps_within(solver, budgets, _grid(schedule))
    return {budget: evaluations_in(solver, n, schedule) for budget, n in zip(budgets, steps) if n}


def _grid(schedule: "AbstractSchedule | None") -> "Grid":
    from ..noise import grids, ScaledLinear

    return functools.partial(grids.trailing, ScaledLinear() if schedule is None else schedule)
