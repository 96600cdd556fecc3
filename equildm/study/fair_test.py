"""A fair test of "bigger is not always better", whose rules were fixed before there were data.

The budgets are those at which the largest width can be sampled at all, from 1 to 25 of its
evaluations, whatever the grid. At each of them the best way of the largest meets the best way of
any smaller width, both chosen without the luck of the choice (`contest`).
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from .compare import Estimate, mean_over_seeds
from .contest import contest
from .fair_crossover import Crossover, crossover, evaluation_price, FAIR_PRICE
from .frontier import best, by, check_one_family, in_common, ROUNDING, sampler_and_scale
from .price import Price
from .table import Row

BUDGETS = 9
MAJORITY = 5
EVALUATIONS = 25
"""Of the largest width, in the largest budget."""
FINE = 12
"""Intervals of the crossover's grid for each interval of the budgets."""

FairAnswer = Literal["reproduced", "not reproduced", "undecided"]


def fair_budgets(
    rows: Sequence[Row], count: int = BUDGETS, price: Price = FAIR_PRICE
) -> list[float]:
    """Budgets for an image at equal ratios, from 1 to 25 evaluations of the largest width.

    **Arguments:**

    - `rows`: with one of the largest width.
    - `count`: at least 2.
    - `price`: what an image of a row costs.

    **Raises** `ValueError` for no rows, a smaller count, and a price of 0.
    """
    if not rows or count < 2:
        raise ValueError(
            f"Two or more budgets are set by rows of the largest width, received {count} budgets "
            f"and {len(rows)} rows. Pass the rows of the test."
        )
    top = max(row.width for row in rows)
    one = min(evaluation_price(row, price) for row in rows if row.width == top)
    return [float(b) for b in np.geomspace(one, EVALUATIONS * one, count)]


@dataclasses.dataclass(frozen=True)
class FairBudget:
    """The test at one budget.

    **Fields:**

    - `budget`: for an image, in the unit of the price.
    - `winner`: the width that is better by the difference; None without one.
    - `difference`: the best of the smaller widths minus the best of the largest; None where the
        budget pays for none of either.
    - `sign`: -1 where a smaller width is better beyond the 95 % interval that holds for all budgets
        together, 1 where the largest is, else 0.
    """

    budget: float
    winner: int | None
    difference: Estimate | None
    sign: int


@dataclasses.dataclass(frozen=True)
class FairVerdict:
    """The verdict of a fair test.

    **Fields:**

    - `answer`: "reproduced" where a smaller width is better at 5 or more of the 9 budgets, "not
        reproduced" where the largest is, else "undecided".
    - `largest`: its width.
    - `budgets`: the test at each.
    - `crossover`: the budget from which on the largest wins; None where no budget is decided.
    """

    answer: FairAnswer
    largest: int
    budgets: tuple[FairBudget, ...]
    crossover: Crossover | None

    @property
    def signs(self) -> list[int]:
        """The sign at each budget."""
        return [budget.sign for budget in self.budgets]

    def __str__(self) -> str:
        won, lost = self.signs.count(-1), self.signs.count(1)
        start = f"; it wins from {self.crossover} on" if self.crossover else ""
        return (
            f"{self.answer}: smaller better at {won}, c = {self.largest} at {lost} of "
            f"{len(self.budgets)} budgets{start}."
        )


def fair_verdict(
    rows: Sequence[Row], price: Price = FAIR_PRICE, *, luck: float = 0.0
) -> FairVerdict:
    """Whether smaller widths are better than the largest at most of nine budgets.

    Only samplers with guidance scales in which all widths were sampled take part. A budget that
    pays for no way of the largest, or for none of a smaller width, counts for neither.

    **Arguments:**

    - `rows`: one checkpoint of one training of each width, not distilled.
    - `price`: what an image of a row costs.
    - `luck`: standard deviation of FID between trainings of one width, see `training_luck`. It
        widens the intervals. With 0 the answer is about these trainings alone.

    **Raises** `ValueError` for other rows, and for a `luck` that is no number from 0 on.
    """
    if not 0 <= luck < math.inf:
        raise ValueError(
            f"Luck is a standard deviation from 0 on, received {luck}. Use 0 for none."
        )
    budgets = fair_budgets(rows, BUDGETS, price)
    chosen, top = _entrants(rows), max(row.width for row in rows)
    tests: list[tuple[Estimate, int] | None] = []
    for budget in budgets:
        payable = [row for row in chosen if price(row) <= budget * (1 + ROUNDING)]
        smaller, largest = _sides(payable, top)
        if not (smaller and largest):
            tests.append(None)
            continue
        d = contest(smaller, largest)
        d = dataclasses.replace(d, error=math.hypot(d.error, 2**0.5 * luck))
        tests.append((d, best(smaller).width if d.value < 0 else top))
    count = len(tests) - tests.count(None)
    results = tuple(
        FairBudget(budget, None, None, 0)
        if test is None
        else FairBudget(budget, test[1], test[0], test[0].sign_among(count))
        for budget, test in zip(budgets, tests)
    )
    signs = [result.sign for result in results]
    answer: FairAnswer = "undecided"
    if signs.count(-1) >= MAJORITY:
        answer = "reproduced"
    elif signs.count(1) >= MAJORITY:
        answer = "not reproduced"
    cross = None
    if any(signs):
        fine = np.geomspace(budgets[0], budgets[-1], FINE * (BUDGETS - 1) + 1)
        cross = crossover(*_sides(chosen, top), fine, price, luck=luck)
    return FairVerdict(answer, top, results, cross)


def _sides(rows: Sequence[Row], top: int) -> tuple[list[Row], list[Row]]:
    """Rows of smaller widths, and of the largest."""
    return [r for r in rows if r.width < top], [r for r in rows if r.width == top]


def _entrants(rows: Sequence[Row]) -> list[Row]:
    """The rows that take part, averaged over seeds."""
    check_one_family(rows, "A fair test")
    widths = by(rows, lambda row: row.width)
    references = sorted({row.reference for row in rows})
    models = sorted({(row.width, row.run, row.train_step) for row in rows})
    common = in_common(rows, lambda row: row.width, sampler_and_scale)
    for rule, broken, fix in (
        ("takes two widths or more", len(widths) < 2 and sorted(widths), "Train another width"),
        ("has one reference", len(references) > 1 and references, "Select rows of one"),
        (
            "takes models that are not distilled",
            sorted({row.model for row in rows if row.method}),
            "Leave out students",
        ),
        (
            "takes one checkpoint of one training of each width",
            len(models) > len(widths) and models,
            "Select them",
        ),
        (
            "takes a sampler and guidance scale in common",
            not common and {w: sorted({*map(sampler_and_scale, g)}) for w, g in widths.items()},
            "Sample all widths in the same ways",
        ),
    ):
        if broken:
            raise ValueError(f"A fair test {rule}, received {broken}. {fix}.")
    chosen = mean_over_seeds(common)
    if not chosen or max(row.width for row in chosen) < max(widths):
        raise ValueError(
            f"The largest width has a finite score, received c = {max(widths)} with none. Train it "
            "again."
        )
    return chosen
