"""Power laws with intervals: quality over training compute and over sampling cost."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.stats
from jaxtyping import Float

from .compare import mean_over_seeds
from .cost import BASELINE_GFLOPS, Counting
from .frontier import by, last_checkpoints, pareto
from .table import Row

Values = Sequence[float] | Float[np.ndarray, "points"]


@dataclasses.dataclass(frozen=True)
class PowerLaw:
    """`y = scale * x^exponent`, fitted.

    **Fields:**

    - `scale`, `exponent`: of the fit.
    - `interval`: 95 % bootstrap interval of the exponent.
    - `resampled`: `(scale, exponent)` of the fit to each resample.
    - `scatter`: standard deviation of log y about the law.
    - `points`: how many were fitted.
    """

    scale: float
    exponent: float
    interval: tuple[float, float]
    resampled: Float[np.ndarray, "resamples 2"]
    scatter: float
    points: int

    def __call__(self, x: Values) -> Float[np.ndarray, "points"]:
        """The law at `x`."""
        return self.scale * np.asarray(x, float) ** self.exponent

    def band(self, x: Values) -> tuple[Float[np.ndarray, "points"], Float[np.ndarray, "points"]]:
        """95 % interval of the law at `x`."""
        scale, exponent = self.resampled.T[..., None]
        values = scale * np.asarray(x, float) ** exponent
        low, high = np.quantile(values, [0.025, 0.975], axis=0)
        return low, high

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.scale:.4g} x^{self.exponent:.3f}, 95 % interval of the exponent "
            f"{low:.3f} to {high:.3f}, {self.points} points"
        )


def fit_power_law(x: Values, y: Values, *, resamples: int = 2000, seed: int = 0) -> PowerLaw:
    """Least squares in logarithms, with intervals by the bootstrap of residuals.

    Residuals are enlarged by `sqrt(n / (n - 2))` for the two numbers that were fitted, and the
    deviations of each resample by `t / 1.96`, where `t` is the 97.5 % quantile of Student's
    distribution with `n - 2` degrees of freedom. So the intervals also hold for few points.

    **Arguments:**

    - `x`, `y`: above 0; at least 4 points of at least 3 different x.
    - `resamples`: of the bootstrap.
    - `seed`: of the resamples.

    **Raises** `ValueError` for other numbers, and for fewer points.
    """
    values = [np.asarray(v, float) for v in (x, y)]
    if not all(np.all((v > 0) & np.isfinite(v)) for v in values):
        raise ValueError(f"A power law is fitted to numbers above 0, received {x} and {y}.")
    log_x, log_y = map(np.log, values)
    n = len(log_x)
    if len(log_y) != n or n < 4 or len(np.unique(log_x)) < 3:
        raise ValueError(
            "A power law with intervals takes at least 4 points of 3 different x, received "
            f"x = {list(x)} and {len(log_y)} y."
        )
    slope, level = _lines(log_x, log_y[None])
    fitted = level + slope * log_x
    residuals = (log_y - fitted[0]) * np.sqrt(n / (n - 2))
    residuals = residuals - residuals.mean()
    random = np.random.default_rng(seed)
    quantile = float(scipy.stats.t.ppf(0.975, n - 2))
    drawn = random.choice(residuals, (resamples, n)) * (quantile / 1.96)
    slopes, levels = _lines(log_x, fitted + drawn)
    low, high = np.quantile(slopes, [0.025, 0.975])
    return PowerLaw(
        scale=float(np.exp(level[0, 0])),
        exponent=float(slope[0, 0]),
        interval=(float(low), float(high)),
        resampled=np.stack([np.exp(levels[:, 0]), slopes[:, 0]], axis=1),
        scatter=float(residuals.std()),
        points=n,
    )


def _lines(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slopes and levels (each (rows, 1)) of the least squares lines through rows of `y`."""
    centred = x - x.mean()
    slope = (y @ centred / (centred @ centred))[:, None]
    return slope, y.mean(axis=1, keepdims=True) - slope * x.mean()


def train_compute(row: Row) -> float:
    """Training steps x GFLOPs of an evaluation on the paper's input, the axis of its figure 3."""
    return row.train_step * row.cost * BASELINE_GFLOPS


def reference_rows(rows: Sequence[Row]) -> list[Row]:
    """The checkpoints of all sizes, sampled in the one way that most of them have in common.

    Where several ways are equally common, it is the one of the most steps, and then DDIM. Distilled
    models are left out, and so is what has no logarithm: untrained weights, and a distance of 0.
    """
    plain = [r for r in mean_over_seeds(rows) if not r.method and r.train_step > 0 and r.fid > 0]
    ways = by(plain, lambda row: (row.sampler, row.steps, row.guidance))
    if not ways:
        return []
    way = max(ways, key=lambda way: (len(ways[way]), way[1], way[0] == "ddim", -way[2]))
    return sorted(ways[way], key=lambda row: (row.width, row.train_step))


def laws(rows: Sequence[Row], counting: Counting = "once") -> dict[str, PowerLaw]:
    """The laws that there are points enough for, by name.

    - `training, all sizes` and `training, c = ...`: FID over training compute (`train_compute`).
    - `sampling, frontier`: FID of the best rows over sampling cost, last checkpoints without
        students.
    """
    rows = mean_over_seeds(rows)
    chosen = reference_rows(rows)
    front = pareto(last_checkpoints(rows), counting=counting)
    sets = {"training, all sizes": [(train_compute(row), row.fid) for row in chosen]}
    for width, group in by(chosen, lambda row: row.width).items():
        sets[f"training, c = {width}"] = [(train_compute(row), row.fid) for row in group]
    sets["sampling, frontier"] = [(row.sampling_cost(counting), row.fid) for row in front]
    return {name: fit_power_law(*zip(*points)) for name, points in sets.items() if _fits(points)}


def _fits(points: Sequence[tuple[float, float]]) -> bool:
    """Whether `fit_power_law` takes these points."""
    positive = all(value > 0 for point in points for value in point)
    return len(points) >= 4 and len({x for x, _ in points}) >= 3 and positive
