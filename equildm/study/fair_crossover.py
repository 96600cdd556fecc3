"""From which budget on the largest width wins."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from .compare import draws
from .contest import group_values
from .frontier import DRAWS, ROUNDING
from .price import OWN_COST, Price
from .table import Row

FAIR_PRICE = OWN_COST.guidance_twice()
"""Operations of the run's own network, with both evaluations of guidance: what a machine pays."""

Costs = Float[np.ndarray, "budgets"]


def evaluation_price(row: Row, price: Price = FAIR_PRICE) -> float:
    """What one evaluation of a row's network without guidance costs.

    In seconds it is the time of an image over its evaluations.

    **Raises** `ValueError` for a price that is not above 0, as of a time that was not measured.
    """
    one = price(dataclasses.replace(row, evaluations=1, branches=1))
    if price.unit == "seconds":
        one /= row.evaluations * row.branches
    if not one > 0:
        raise ValueError(
            f"An evaluation costs more than 0, received {one:g} {price.words} of {row.model}. "
            "Use gflops where the time was not measured."
        )
    return one


@dataclasses.dataclass(frozen=True)
class Crossover:
    """The budget from which on the largest width is best, up to the largest budget.

    **Fields:**

    - `budget`: in the unit of the price; infinite where the largest never wins to the end.
    - `low`, `high`: the 95 % interval.
    """

    budget: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.budget:.3g} ({self.low:.3g} to {self.high:.3g})"


def crossover(
    smaller: Sequence[Row],
    largest: Sequence[Row],
    budgets: Costs,
    price: Price = FAIR_PRICE,
    *,
    luck: float = 0.0,
) -> Crossover:
    """The least of the budgets from which on the best of `largest` is below that of `smaller`.

    As in `contest`, the ways are chosen on half of the groups of captions and compared on the other
    half. The estimate is from the mean of the two halves, the interval from joint draws of both.

    **Arguments:**

    - `smaller`, `largest`: rows of the same captions, in at least 4 groups.
    - `budgets`: ascending.
    - `price`: what an image of a row costs.
    - `luck`: see `fair_verdict`.
    """
    sides = [sorted(side, key=price) for side in (smaller, largest)]
    payable = [
        np.searchsorted([price(row) for row in side], budgets * (1 + ROUNDING), "right")
        for side in sides
    ]
    values = group_values([*sides[0], *sides[1]])
    even = np.arange(values.shape[1]) % 2 == 0
    scores = []  # by half: smaller and largest, by draw and budget; the first draw is the estimate
    for seed, here in enumerate((even, ~even)):
        drawn = _drawn([*sides[0], *sides[1]], values[:, here], seed)
        lucky = np.random.default_rng(seed + 2).standard_normal((len(drawn), 1)) * luck * 2**0.5
        lucky[0] = 0.0
        split = len(sides[0])
        chosen = values[:, ~here].mean(axis=1)
        ours = _best_scores(chosen[:split], drawn[:, :split] + lucky, payable[0])
        theirs = _best_scores(chosen[split:], drawn[:, split:], payable[1])
        scores.append((ours, theirs))
    ours, theirs = np.mean([[side[0] for side in half] for half in scores], axis=0)
    (estimate,) = _first(theirs[None] < ours[None], budgets)
    starts = np.concatenate([_first(half[1][1:] < half[0][1:], budgets) for half in scores])
    low, high = np.sort(starts)[[int(0.025 * len(starts)), math.ceil(0.975 * len(starts)) - 1]]
    return Crossover(float(estimate), float(low), float(high))


def _drawn(
    rows: Sequence[Row], values: Float[np.ndarray, "rows groups"], seed: int
) -> Float[np.ndarray, "draws rows"]:
    """The rows' scores on some of the groups, and draws of them."""
    means = values.mean(axis=1)
    spreads = (means[:, None] - values) / math.sqrt(values.shape[1] - 1)
    halves = [
        dataclasses.replace(row, fid=float(mean), fid_spread=tuple(spread.tolist()))
        for row, mean, spread in zip(rows, means, spreads)
    ]
    return np.vstack([means, draws(halves, DRAWS // 2, seed)])


def _best_scores(
    chosen: Float[np.ndarray, "rows"], drawn: Float[np.ndarray, "draws rows"], payable: np.ndarray
) -> Float[np.ndarray, "draws budgets"]:
    """Scores of the first so many rows' best by `chosen`; infinite for none."""
    columns = [int(np.argmin(chosen[:n])) if n else -1 for n in payable]
    return np.pad(drawn, ((0, 0), (0, 1)), constant_values=np.inf)[:, columns]


def _first(wins: Bool[np.ndarray, "draws budgets"], budgets: Costs) -> Float[np.ndarray, "draws"]:
    """The budget from which on all are wins."""
    always = np.logical_and.accumulate(wins[:, ::-1], axis=1)[:, ::-1]
    return np.where(always[:, -1], budgets[always.argmax(axis=1)], np.inf)
