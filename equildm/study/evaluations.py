"""How many evaluations of the denoiser a solver makes in so many steps."""

import functools
from collections.abc import Sequence


def evaluations_in(solver: str, steps: int) -> int:
    """The evaluations of a solver in so many steps: they are linear in the steps.

    **Arguments:**

    - `solver`: a name in `SOLVERS`.
    - `steps`: at least 1.
    """
    four, five = (_counted(solver, number) for number in (4, 5))
    return four + (five - four) * (steps - 4)


def evaluations_within(solver: str, budgets: Sequence[int]) -> dict[int, int]:
    """How many of each number of evaluations a solver makes use of, in as many steps as these pay.

    A solver of several a step leaves some of them: of 4 evaluations `heun` makes 3, in 2 steps.

    **Arguments:**

    - `solver`: a name in `SOLVERS`.
    - `budgets`: numbers of evaluations; one that pays for no step is left out.
    """
    from ..noise import grids, ScaledLinear
    from ..sampling import steps_within

    steps = steps_within(solver, budgets, functools.partial(grids.trailing, ScaledLinear()))
    return {budget: evaluations_in(solver, n) for budget, n in zip(budgets, steps) if n}


@functools.cache
def _counted(solver: str, steps: int) -> int:
    from ..noise import grids, ScaledLinear
    from ..sampling import count_evaluations

    return count_evaluations(solver, grids.trailing(ScaledLinear(), steps))
