"""Scores with their standard errors, differences of scores, and joint draws of all scores."""

import dataclasses
import functools
import math
from collections.abc import Iterable, Sequence

import numpy as np
import scipy.stats
from jaxtyping import Float

from ..metrics import with_error
from .table import in_order, Row


@functools.cache
def quantile(degrees: int, comparisons: int = 1) -> float:
    """Standard errors on either side of a 95 % interval, by Student's distribution.

    **Arguments:**

    - `degrees`: of freedom, one less than the groups that the error is from. Infinite for 0.
    - `comparisons`: how many intervals shall hold together (Bonferroni).
    """
    if degrees < 1:
        return math.inf
    return float(scipy.stats.t.ppf(1 - 0.025 / comparisons, degrees))


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number with its standard error.

    **Fields:**

    - `value`: the number.
    - `error`: its standard error.
    - `degrees`: of freedom of the error, one less than the groups that it is from.
    """

    value: float
    error: float
    degrees: int

    @property
    def margin(self) -> float:
        """Half of the 95 % interval."""
        return quantile(self.degrees) * self.error

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.value - self.margin

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.value + self.margin

    @property
    def sign(self) -> int:
        """-1 or 1 where the interval lies on one side of 0, else 0."""
        return self.sign_among(1)

    def sign_among(self, comparisons: int) -> int:
        """`sign` by an interval that is wider, so that all of so many hold together."""
        margin = quantile(self.degrees, comparisons) * self.error
        return int(self.value > margin) - int(self.value < -margin)

    def __str__(self) -> str:
        return with_error(self.value, self.margin)


def score(row: Row) -> Estimate:
    """A row's distance with its standard error."""
    return _estimate(row.fid, np.asarray(row.fid_spread))


def difference(a: Row, b: Row) -> Estimate:
    """`a`'s distance minus `b`'s: below 0 where `a` is better.

    Rows of the same captions share how hard these are, so that their difference has a smaller error
    than either of them. For rows of different captions the variances add up.
    """
    if _alike(a, b):
        return _estimate(a.fid - b.fid, np.subtract(a.fid_spread, b.fid_spread))
    one, other = score(a), score(b)
    error = float(np.hypot(one.error, other.error))
    return Estimate(a.fid - b.fid, error, min(one.degrees, other.degrees))


def _estimate(value: float, spread: Float[np.ndarray, "groups"]) -> Estimate:
    return Estimate(value, float(np.sqrt(np.mean(np.square(spread)))), len(spread) - 1)


def draws(rows: Sequence[Row], count: int, seed: int = 0) -> Float[np.ndarray, "count rows"]:
    """Distances that all rows might have had with other captions and other noise.

    They have the covariance of the rows' deviations, and the tails of Student's distribution for
    so many groups.

    **Arguments:**

    - `rows`: any rows.
    - `count`: how many draws.
    - `seed`: of the draws.
    """
    random = np.random.default_rng(seed)
    values = np.tile([row.fid for row in rows], (count, 1))
    columns: dict[tuple[str, int], list[int]] = {}
    for i, row in enumerate(rows):
        columns.setdefault((row.reference, len(row.fid_spread)), []).append(i)
    for (_, groups), places in columns.items():
        drawn = random.standard_normal((count, groups)) / np.sqrt(groups)
        drawn /= np.sqrt(random.chisquare(groups - 1, (count, 1)) / (groups - 1))
        values[:, places] += drawn @ np.array([rows[i].fid_spread for i in places]).T
    return values


def mean_over_seeds(rows: Sequence[Row]) -> list[Row]:
    """One row for each way to sample a model: the mean over the seeds of the noise.

    `seed` is the first one's. A way whose distance is not finite with every seed, as of a model
    that diverged, is left out. Everything that compares rows averages them here first.
    """
    groups: dict[tuple, list[Row]] = {}
    for row in in_order(rows):
        point = dataclasses.replace(row.point, seed=0)
        groups.setdefault((point, row.reference), []).append(row)
    return finite(_mean(group) for group in groups.values())


def finite(rows: Iterable[Row]) -> list[Row]:
    """The rows whose distance is finite."""
    return [row for row in rows if math.isfinite(row.fid)]


def _mean(rows: list[Row]) -> Row:
    if len(rows) == 1:
        return rows[0]
    return dataclasses.replace(
        rows[0],
        fid=float(np.mean([row.fid for row in rows])),
        fid_spread=tuple(np.mean([row.fid_spread for row in rows], axis=0).tolist()),
        match=float(np.mean([row.match for row in rows])),
        match_low=float(np.mean([row.match_low for row in rows])),
        match_high=float(np.mean([row.match_high for row in rows])),
        seconds=float(np.mean([row.seconds for row in rows])),
        count=sum(row.count for row in rows),
    )


def _alike(a: Row, b: Row) -> bool:
    return a.reference == b.reference and len(a.fid_spread) == len(b.fid_spread)
