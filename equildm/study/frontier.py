"""Which model and sampler is best for what it costs."""

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

import numpy as np

from .compare import draws, finite, mean_over_seeds
from .price import OWN_COST, Price
from .table import Row, Size

DRAWS = 2000
ROUNDING = 1e-9
"""By how much, of a budget, a cost may exceed it."""

_OPERATIONS = OWN_COST.guidance_twice()

T = TypeVar("T", bound=Hashable)


def by(rows: Iterable[Row], key: Callable[[Row], T]) -> dict[T, list[Row]]:
    """Rows in groups of equal `key`, in the order in which they come."""
    groups: dict[T, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def sampler_and_scale(row: Row) -> tuple[str, float]:
    """The sampler and the guidance scale of a row."""
    return row.sampler, row.guidance


def in_common(
    rows: Sequence[Row], between: Callable[[Row], Hashable], way: Callable[[Row], Hashable]
) -> list[Row]:
    """The rows in such ways as every group has, so that none wins by what it alone was tried in.

    **Arguments:**

    - `rows`: in any ways.
    - `between`: rows of one value are a group.
    - `way`: of a row.
    """
    ways = [{way(row) for row in group} for group in by(rows, between).values()]
    common = set.intersection(*ways) if ways else set()
    return [row for row in rows if way(row) in common]


def families(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows by family, in order of name. Models of one family differ by their size alone."""
    return by(sorted(rows, key=lambda row: row.family), lambda row: row.family)


def check_one_family(rows: Iterable[Row], what: str) -> None:
    """**Raises** `ValueError` for rows of several families. `what` holds within one."""
    names = list(families(rows))
    if len(names) > 1:
        raise ValueError(
            f"{what} is of one family, received {', '.join(names)}. Pass the rows of one of "
            "equildm.study.families(rows)."
        )


def best(rows: Iterable[Row]) -> Row:
    """The row of the lowest distance; of equal ones the cheapest.

    **Raises** `ValueError` if no distance is finite.
    """
    candidates = finite(rows)
    if not candidates:
        raise ValueError("The best row is one of rows with a finite distance, received none.")
    return min(candidates, key=lambda row: (row.fid, _OPERATIONS(row), row.point))


def newest(rows: Sequence[Row]) -> list[Row]:
    """The rows of each run's last checkpoint.

    A run that was distilled in stages has a student, and a last checkpoint, for each number of
    sampling steps.
    """
    last: dict[tuple, int] = {}
    for row in rows:
        key = _checkpoint_key(row)
        last[key] = max(last.get(key, 0), row.train_step)
    return [row for row in rows if row.train_step == last[_checkpoint_key(row)]]


def _checkpoint_key(row: Row) -> tuple:
    return (row.run, row.steps) if row.method else (row.run,)


def optimal_guidance(rows: Sequence[Row]) -> list[Row]:
    """For each checkpoint, sampler and number of steps, the row of the best guidance scale.

    The best scale is that of the lowest distance (paper, section 3.3.1).
    """
    groups = by(finite(rows), lambda r: (r.run, r.train_step, r.sampler, r.steps, r.seed))
    return [best(group) for group in groups.values()]


def last_checkpoints(rows: Sequence[Row]) -> list[Row]:
    """Last checkpoints of models that were not distilled, each at its best guidance scale."""
    return optimal_guidance([row for row in newest(rows) if not row.method])


@dataclasses.dataclass(frozen=True)
class Winner:
    """The best row within a budget.

    **Fields:**

    - `budget`: in the unit of the price.
    - `row`: the best one that the budget pays for.
    - `by_size`: for each size that the budget pays for, its best row.
    - `probability`: share of the draws of the scores in which a model of this size is the best.
    """

    budget: float
    row: Row
    by_size: dict[Size, Row]
    probability: float

    @property
    def largest(self) -> Row:
        """The best row of the largest size, by its operations, that the budget pays for."""
        return max(self.by_size.values(), key=lambda row: row.gflops)


def winners(
    rows: Sequence[Row], budgets: Iterable[float], *, price: Price = OWN_COST
) -> list[Winner]:
    """The best row within each budget; a budget that pays for nothing is left out.

    **Arguments:**

    - `rows`: several seeds are averaged first. Pass `newest(rows)` for finished models alone.
    - `budgets`: for an image.
    - `price`: what an image of a row costs.
    """
    rows = mean_over_seeds(rows)
    if not rows:
        return []
    values = draws(rows, DRAWS)
    costs = np.array([price(row) for row in rows])
    result = []
    for budget in budgets:
        payable = np.flatnonzero(costs <= budget * (1 + ROUNDING))
        if len(payable):
            row = best(rows[i] for i in payable)
            groups = by((rows[i] for i in payable), lambda row: row.size)
            alike = np.array([rows[i].size == row.size for i in payable])
            share = float(np.mean(alike[np.argmin(values[:, payable], axis=1)]))
            result.append(Winner(budget, row, {s: best(g) for s, g in groups.items()}, share))
    return result


def common_budgets(
    rows: Sequence[Row],
    count: int = 9,
    *,
    price: Price = OWN_COST,
    between: Callable[[Row], Hashable] = lambda row: row.size,
) -> list[float]:
    """Budgets at equal ratios, up to the cost of the dearest row.

    They begin where two sizes (`between`: two of its values) can be paid for; with one, at its
    cheapest row. There are none without rows.
    """
    if not rows:
        return []
    groups = by(rows, between)
    least = sorted(min(price(r) for r in group) for group in groups.values())
    most = max(price(row) for row in rows)
    return [float(b) for b in np.geomspace(least[min(1, len(least) - 1)], most, count)]


def pareto(rows: Sequence[Row], *, price: Price = OWN_COST) -> list[Row]:
    """The rows than which none is both as cheap and better, from cheap to dear."""
    front: list[Row] = []
    for row in sorted(mean_over_seeds(rows), key=lambda row: (price(row), row.fid)):
        if not front or row.fid < front[-1].fid:
            front.append(row)
    return front
