"""Scores with their standard errors, differences of scores, and joint draws of all scores."""

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float

from .table import in_order, Row

NORMAL = 1.96
"""Standard errors on either side of a 95 % interval."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number with its standard error."""

    value: float
    error: float

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.value - NORMAL * self.error

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.value + NORMAL * self.error

    @property
    def sign(self) -> int:
        """-1 or 1 where the interval lies on one side of 0, else 0."""
        return int(self.low > 0) - int(self.high < 0)

    def __str__(self) -> str:
        return f"{self.value:.4g} ± {NORMAL * self.error:.2g}"


def score(row: Row) -> Estimate:
    """A row's distance with its standard error."""
    return Estimate(row.fid, float(np.sqrt(np.mean(np.square(row.fid_spread)))))


def difference(a: Row, b: Row) -> Estimate:
    """`a`'s distance minus `b`'s: below 0 where `a` is better.

    Rows of the same captions share how hard these are, so that their difference has a smaller error
    than either of them. For rows of different captions the variances add up.
    """
    if _alike(a, b):
        spread = np.subtract(a.fid_spread, b.fid_spread)
        return Estimate(a.fid - b.fid, float(np.sqrt(np.mean(np.square(spread)))))
    return Estimate(a.fid - b.fid, float(np.hypot(score(a).error, score(b).error)))


def draws(rows: Sequence[Row], count: int, seed: int = 0) -> Float[np.ndarray, "count rows"]:
    """Distances that all rows might have had with other captions and other noise.

    They are normal, with the covariance of the rows' deviations.

    **Arguments:**

    - `rows`: any rows.
    - `count`: how many draws.
    - `seed`: of the draws.
    """
    random = np.random.default_rng(seed)
    values = np.empty((count, len(rows)))
    shared: dict[tuple[str, int], np.ndarray] = {}
    for i, row in enumerate(rows):
        key = row.reference, len(row.fid_spread)
        if key not in shared:
            shared[key] = random.standard_normal((count, key[1])) / np.sqrt(key[1])
        values[:, i] = row.fid + shared[key] @ np.asarray(row.fid_spread)
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
