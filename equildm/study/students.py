"""Students beside the models that they were distilled from."""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from .compare import mean_over_seeds
from .frontier import by, newest, optimal_guidance
from .table import Row, Size


def main_sampler(rows: Sequence[Row]) -> str:
    """The sampler of the most rows; DDIM where it is as common as another; "" without rows."""
    samplers = by(rows, lambda row: row.sampler)
    return max(samplers, key=lambda name: (len(samplers[name]), name == "ddim"), default="")


def student_curves(rows: Sequence[Row]) -> dict[Size, dict[str, list[Row]]]:
    """For each size that was distilled: the models and students of that size, by name.

    Each is a list of rows by sampling steps, last checkpoints at their best guidance scales. The
    model comes first, by its main sampler, then by others; then the students.
    """
    chosen = optimal_guidance(newest(mean_over_seeds(rows)))
    curves: dict[Size, dict[str, list[Row]]] = {}
    for size, group in by(chosen, lambda row: row.size).items():
        first = main_sampler([row for row in group if not row.method])
        group = sorted(
            group, key=lambda r: (r.method, r.run, r.sampler != first, r.sampler, r.steps)
        )
        if group[-1].method:
            curves[size] = by(group, lambda row: f"{row.run} ({row.sampler})")
    return curves


def steps_worth(steps: Sequence[int], fids: Sequence[float] | np.ndarray, fid: float) -> float:
    """The steps at which a model reaches a distance, linear in log steps between measured ones.

    Infinite if the model never reaches it; its fewest steps if it is better from the start.

    **Arguments:**

    - `steps`, `fids`: the model's distance in each number of steps.
    - `fid`: the distance.
    """
    rows = sorted(zip(steps, fids))
    if fid >= rows[0][1]:
        return float(rows[0][0])
    for (few, high), (many, low) in itertools.pairwise(rows):
        if low <= fid < high:
            return float(few * (many / few) ** ((high - fid) / (high - low)))
    return math.inf


def worth_in_words(curve: Sequence[Row], fid: float) -> str:
    """`steps_worth` as a cell of a table.

    **Arguments:**

    - `curve`: rows of the model, one for each number of steps.
    - `fid`: the distance.
    """
    steps = sorted(row.steps for row in curve)
    worth = steps_worth([row.steps for row in curve], [row.fid for row in curve], fid)
    if math.isinf(worth):
        return f"more than {steps[-1]}"
    if worth == steps[0] and fid > min(curve, key=lambda row: row.steps).fid:
        return f"less than {steps[0]}" if steps[0] > 1 else "1.0"
    return f"{worth:.1f}"
