"""The question of the study: what to use for a budget."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from .compare import draws, Estimate, mean_over_seeds, score
from .frontier import best, DRAWS, newest, ROUNDING
from .price import OWN_COST, Price
from .table import in_steps, Row


@dataclasses.dataclass(frozen=True)
class Recommendation:
    """What to use for a budget, and which score to expect.

    **Fields:**

    - `budget`: for an image.
    - `price`: what it is in.
    - `row`: of the table: model, sampler, steps and guidance scale.
    - `expected`: the score with other noise and captions. It is above `row.fid`, because the best
        of many uncertain scores is best in part by luck.
    - `cost`: what the row takes of the budget.
    - `probability`: that no other row within the budget is better.
    """

    budget: float
    price: Price
    row: Row
    expected: Estimate
    cost: float
    probability: float

    def __str__(self) -> str:
        row = self.row
        size = str(row.size).replace("c =", "width")
        model = size + (f" distilled by {row.method}" if row.method else "")
        return (
            f"For a budget of {self.budget:.3g} {self.price.words}, use {model}, sampler "
            f"{row.sampler}, {in_steps(row.steps)}, guidance {row.guidance:g}; expected "
            f"{row.score} {self.expected}."
        )


def recommend(
    table: Sequence[Row],
    budget: float,
    *,
    price: Price = OWN_COST,
    every_checkpoint: bool = False,
) -> Recommendation:
    """The best way to sample within a budget for each image.

    **Arguments:**

    - `table`: rows, see `read_table`.
    - `budget`: for one image.
    - `price`: what the budget is in. For seconds there must be only one device: select its rows.
    - `every_checkpoint`: whether to choose among all checkpoints, or the last of each run alone.

    **Raises** `ValueError` for a table without a finite score, for one of several kinds of score,
    for seconds of several devices, and for a budget that pays for nothing.
    """
    rows = mean_over_seeds(table)
    rows = rows if every_checkpoint else newest(rows)
    kinds = {(row.score, row.reference) for row in rows}
    if len(kinds) != 1:
        raise ValueError(
            "A recommendation compares finite scores of one kind, received "
            f"{sorted(kinds) or 'no rows'}. Select rows of one score and one reference."
        )
    devices = sorted({row.device for row in table if row.seconds > 0})
    if price.unit == "seconds" and len(devices) > 1:
        raise ValueError(
            f"A budget in seconds is of one device, received rows of {', '.join(devices)}. Select "
            f"those of one: [row for row in table if row.device == {devices[0]!r}]."
        )
    prices = np.array([price(row) for row in rows])
    payable = np.flatnonzero((prices <= budget * (1 + ROUNDING)) & (prices > 0))
    if not len(payable):
        least = prices[prices > 0].min(initial=np.inf)
        raise ValueError(
            f"A budget of {budget:g} {price.words} pays for nothing in this table, whose cheapest "
            f"costs {least:.3g}."
        )
    rows, prices = [rows[i] for i in payable], prices[payable]
    row = best(rows)
    chosen = rows.index(row)
    values = draws(rows, DRAWS)
    lowest = np.argmin(values, axis=1)
    # In each draw the scores of the table play the truth: the chosen row looks better than it is
    # by this much.
    truth = np.array([r.fid for r in rows])
    luck = float(np.median(truth[lowest] - values[np.arange(len(values)), lowest]))
    expected = dataclasses.replace(score(row), value=row.fid + max(luck, 0.0))
    probability = float(np.mean(lowest == chosen))
    return Recommendation(budget, price, row, expected, float(prices[chosen]), probability)
