"""The best of some rows against the best of others, without the luck of the choice.

The best of many uncertain scores is best in part by luck, and the more so the more there are. So
the choice is made on half of the groups of captions and the difference is taken on the other half;
then the halves change places, and the two differences are averaged. The error is the mean of the
two errors, which holds however much the halves depend on each other.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from .compare import Estimate
from .table import Row

Values = Float[np.ndarray, "rows groups"]


def group_values(rows: Sequence[Row]) -> Values:
    """Each row's distance as seen by each group of captions; their mean is the distance.

    They are the jackknife's pseudo-values: means over some of the groups are, to first order, the
    distances of these captions alone.

    **Raises** `ValueError` for rows of different captions.
    """
    kinds = {(row.reference, len(row.fid_spread)) for row in rows}
    if len(kinds) != 1:
        raise ValueError(
            f"Rows are compared group by group of the same captions, received {sorted(kinds)}. "
            "Select rows of one reference."
        )
    spread = np.array([row.fid_spread for row in rows])
    return np.array([[row.fid] for row in rows]) - spread * math.sqrt(spread.shape[1] - 1)


def contest(a: Sequence[Row], b: Sequence[Row]) -> Estimate:
    """The distance of the best of `a` minus that of the best of `b`: below 0 where `a` is better.

    The interval is infinite for fewer than 4 groups, of which no half has an error.
    """
    values = group_values([*a, *b])
    ours, theirs = values[: len(a)], values[len(a) :]
    return _over_halves(
        [
            ours[_best(ours, ~here)][here] - theirs[_best(theirs, ~here)][here]
            for here in _halves(values)
        ]
    )


def regrets(a: Sequence[Row], b: Sequence[Row]) -> tuple[Estimate, Estimate]:
    """What `a` loses, and what `b` loses, in the way that is best for the other.

    Both are above 0 where the two have different best ways.

    **Arguments:**

    - `a`, `b`: rows of two models in the same ways, in the same order.
    """
    values = group_values([*a, *b])
    ours, theirs = values[: len(a)], values[len(a) :]
    losses: tuple[list[np.ndarray], list[np.ndarray]] = [], []
    for here in _halves(values):
        own, other = _best(ours, ~here), _best(theirs, ~here)
        losses[0].append((ours[other] - ours[own])[here])
        losses[1].append((theirs[own] - theirs[other])[here])
    return _over_halves(losses[0]), _over_halves(losses[1])


def _halves(values: Values) -> list[np.ndarray]:
    even = np.arange(values.shape[1]) % 2 == 0
    return [even, ~even]


def _best(values: Values, groups: np.ndarray) -> int:
    return int(np.argmin(values[:, groups].mean(axis=1)))


def _over_halves(differences: Sequence[np.ndarray]) -> Estimate:
    """The mean of two estimates, with an error that holds whatever their correlation."""
    value = float(np.mean([half.mean() for half in differences]))
    least = min(map(len, differences))
    if least < 2:
        return Estimate(value, math.inf, 0)
    errors = [half.std(ddof=1) / math.sqrt(len(half)) for half in differences]
    return Estimate(value, float(np.mean(errors)), least - 1)
