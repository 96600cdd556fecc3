"""Which model and sampler is best for what it costs."""

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np

from .compare import difference, draws, finite, mean_over_seeds
from .cost import Counting
from .table import Row

DRAWS = 2000

T = TypeVar("T", bound=Hashable)


def by(rows: Iterable[Row], key: Callable[[Row], T]) -> dict[T, list[Row]]:
    """Rows in groups, in the order in which they come."""
    found: dict[T, list[Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def best(rows: Iterable[Row]) -> Row:
    """The lowest distance; of equals the cheapest. A distance that is not finite is none, and
    `ValueError` if all are such."""
    found = finite(rows)
    if not found:
        raise ValueError("The best row is of rows with a finite distance, received none.")
    return min(found, key=lambda row: (row.fid, row.sampling_cost("twice"), row.point))


def newest(rows: Sequence[Row]) -> list[Row]:
    """Those of each run's last checkpoint, for each number of steps: a run that was distilled in
    stages has a student for each."""
    last: dict[Any, int] = {}
    for row in rows:
        key = _checkpoint_key(row)
        last[key] = max(last.get(key, 0), row.train_step)
    return [row for row in rows if row.train_step == last[_checkpoint_key(row)]]


def _checkpoint_key(row: Row) -> tuple:
    return (row.run, row.steps) if row.method else (row.run,)


def optimal_guidance(rows: Sequence[Row]) -> list[Row]:
    """For each checkpoint, sampler and number of steps, the row of the guidance weight with the
    lowest distance (paper, section 3.3.1)."""
    groups = by(finite(rows), lambda r: (r.run, r.train_step, r.sampler, r.steps, r.seed))
    return [best(group) for group in groups.values()]


@dataclasses.dataclass(frozen=True)
class Winner:
    """The best row of a budget.

    **Fields:**

    - `budget`: in evaluations of the 866M model.
    - `row`: the best that it pays for.
    - `by_width`: for each width that it pays for, its best row.
    - `probability`: in how many draws of the scores a model of this width has the lowest.
    """

    budget: float
    row: Row
    by_width: dict[int, Row]
    probability: float

    @property
    def largest(self) -> Row:
        """The best row of the largest width that the budget pays for."""
        return self.by_width[max(self.by_width)]

    @property
    def smaller_wins(self) -> int:
        """1 where a smaller model than the largest payable one is better, -1 where all smaller ones
        are worse, 0 where the 95 % interval does not tell or only one width is payable."""
        smaller = [row for width, row in self.by_width.items() if width != max(self.by_width)]
        if not smaller:
            return 0
        return -difference(best(smaller), self.largest).sign


def winners(
    rows: Sequence[Row], budgets: Iterable[float], *, counting: Counting = "once"
) -> list[Winner]:
    """The best row within each budget; a budget that pays for nothing is left out.

    **Arguments:**

    - `rows`: several seeds are averaged first. Take `newest` of them for models at hand.
    - `budgets`: in evaluations of the 866M model, see `Row.sampling_cost`.
    - `counting`: how guidance counts.
    """
    rows = mean_over_seeds(rows)
    if not rows:
        return []
    values = draws(rows, DRAWS)
    costs = np.array([row.sampling_cost(counting) for row in rows])
    widths = np.array([row.width for row in rows])
    found = []
    for budget in budgets:
        paid = np.flatnonzero(costs <= budget * (1 + 1e-9))
        if len(paid):
            row = best(rows[i] for i in paid)
            groups = by((rows[i] for i in paid), lambda row: row.width)
            lowest = widths[paid][np.argmin(values[:, paid], axis=1)]
            share = float(np.mean(lowest == row.width))
            found.append(Winner(budget, row, {w: best(g) for w, g in groups.items()}, share))
    return found


def common_budgets(
    rows: Sequence[Row], count: int = 9, *, counting: Counting = "once"
) -> list[float]:
    """Budgets at equal ratios, from where two widths can be paid for to where all has been paid
    for.

    With one width, over its whole range; none without rows.
    """
    if not rows:
        return []
    costs = by(rows, lambda row: row.width)
    least = sorted(min(r.sampling_cost(counting) for r in group) for group in costs.values())
    most = max(row.sampling_cost(counting) for row in rows)
    return [float(b) for b in np.geomspace(least[min(1, len(least) - 1)], most, count)]


def pareto(rows: Sequence[Row], *, counting: Counting = "once") -> list[Row]:
    """Rows that nothing as cheap is better than, from cheap to dear."""
    kept: list[Row] = []
    for row in sorted(
        mean_over_seeds(rows), key=lambda row: (row.sampling_cost(counting), row.fid)
    ):
        if not kept or row.fid < kept[-1].fid:
            kept.append(row)
    return kept
