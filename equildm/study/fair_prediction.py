"""What the smaller widths let one expect of the largest, before it is looked at."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from .compare import Estimate, mean_over_seeds, quantile, score
from .fair_crossover import evaluation_price, FAIR_PRICE
from .frontier import by, check_one_family, newest, ROUNDING
from .price import Price
from .table import in_steps, Row


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The distance of the largest width in so many steps, predicted by smaller ones.

    **Fields:**

    - `steps`: of DDIM without guidance.
    - `value`: the prediction.
    - `low`, `high`: its 95 % interval, for one more training; 0 and infinite from two widths.
    - `measurement`: the score, None where there is none.
    """

    steps: int
    value: float
    low: float
    high: float
    measurement: Estimate | None

    @property
    def inside(self) -> bool | None:
        """Whether the score is in the interval; None without a score."""
        if self.measurement is None:
            return None
        return self.low <= self.measurement.value <= self.high

    def __str__(self) -> str:
        text = f"{in_steps(self.steps)}: {self.value:.4g} ({self.low:.4g} to {self.high:.4g})"
        return text if self.measurement is None else f"{text}, measured {self.measurement}"


def predict_largest(
    rows: Sequence[Row], price: Price = FAIR_PRICE, *, gflops: float | None = None
) -> list[Prediction]:
    """The largest width's score, predicted by a power law of the smaller ones, by DDIM steps.

    The law is FID = a x^b, with x the price of an evaluation, fitted in logarithms to each smaller
    width's last checkpoint, DDIM, guidance 1. The interval is that of one more point about the
    line, by Student's distribution. It has the luck of a training, but not a bend of the law.

    **Arguments:**

    - `rows`: of the smaller widths, and of the largest if it is sampled already.
    - `price`: its unit is that of x.
    - `gflops`: an evaluation of the largest, in that unit; by default, the dearest of the rows.
        Rows that cost as much are the measurement, and no part of the fit.

    **Raises** `ValueError` where no number of steps has two smaller widths, where a row is dearer
    than `gflops`, and for several families.
    """
    check_one_family(rows, "A law of sizes")
    plain = [r for r in mean_over_seeds(newest(rows)) if not r.method and r.fid > 0]
    chosen = [row for row in plain if row.sampler == "ddim" and row.guidance == 1]
    costs = {row.width: evaluation_price(row, price) for row in chosen}
    largest = max(costs.values(), default=0.0) if gflops is None else gflops
    if any(cost > largest * (1 + ROUNDING) for cost in costs.values()):
        raise ValueError(
            f"A prediction is for the dearest width, received gflops = {largest:g} and evaluations "
            f"of {costs}, by width. Leave out dearer rows."
        )
    predictions = []
    for steps, group in sorted(by(chosen, lambda row: row.steps).items()):
        fit = [row for row in group if costs[row.width] < largest * (1 - ROUNDING)]
        if len({row.width for row in fit}) > 1:
            line = _extrapolation([costs[r.width] for r in fit], [r.fid for r in fit], largest)
            rest = [score(row) for row in group if row not in fit]
            predictions.append(Prediction(steps, *line, rest[0] if rest else None))
    if not predictions:
        raise ValueError(
            "A law takes two smaller widths sampled by DDIM with guidance 1 in as many steps, "
            f"received widths {sorted(costs)}. Sample them so."
        )
    return predictions


def _extrapolation(x: list[float], y: list[float], at: float) -> tuple[float, float, float]:
    """A power law's value, with the 95 % interval of one more point."""
    log_x, log_y, n = np.log(x), np.log(y), len(x)
    centred, level = log_x - log_x.mean(), log_y.mean()
    size, distance = centred @ centred, math.log(at) - log_x.mean()
    slope = centred @ log_y / size
    value, margin = level + slope * distance, math.inf
    if n > 2:
        variance = np.sum((log_y - level - slope * centred) ** 2) / (n - 2)
        margin = quantile(n - 2) * math.sqrt(variance * (1 + 1 / n + distance**2 / size))
    with np.errstate(over="ignore"):
        low, high = np.exp([value - margin, value + margin])
    return float(np.exp(value)), float(low), float(high)
