"""The fair test in the course of the training."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from .compare import mean_over_seeds
from .fair_crossover import FAIR_PRICE
from .fair_test import BUDGETS, fair_verdict, FairVerdict
from .frontier import by
from .price import Price
from .table import Row

FRACTIONS = (1 / 8, 1 / 4, 1 / 2, 1.0)
"""Of a training, at which its checkpoints are compared."""


@dataclasses.dataclass(frozen=True)
class FairFraction:
    """The fair test at one fraction of the training.

    **Fields:**

    - `fraction`: 1 is the last step.
    - `smaller`: share of the budgets at which a smaller width is better.
    - `smaller_beyond`, `largest_beyond`: shares at which a smaller width, and the largest, is
        better beyond the interval.
    - `verdict`: all of the test.
    """

    fraction: float
    smaller: float
    smaller_beyond: float
    largest_beyond: float
    verdict: FairVerdict


def against_training(
    rows: Sequence[Row], price: Price = FAIR_PRICE, *, luck: float = 0.0
) -> list[FairFraction]:
    """The fair test at 1/8, 1/4, 1/2 and all of the training: when does the verdict flip?

    All fractions are compared in the ways that they have in common: samplers with guidance scales
    of all widths and fractions, and each width's numbers of steps of all fractions. A fraction that
    lacks a width is left out.

    **Arguments:** those of `fair_verdict`, with rows of all checkpoints. A checkpoint belongs to
    the fraction that its step is within a tenth of.

    **Raises** `ValueError` as `fair_verdict` does, and for fractions without a way in common.
    """
    last = {run: max(r.train_step for r in group) for run, group in by(rows, _run).items()}
    widths = {row.width for row in rows}
    stages = {f: [r for r in rows if _is_at(r, f * last[r.run])] for f in FRACTIONS}
    stages = {f: group for f, group in stages.items() if {row.width for row in group} == widths}
    common = set.intersection(*({_way(row) for row in group} for group in stages.values()))
    lacking = sorted(widths - {width for width, *_ in common})
    if lacking:
        raise ValueError(
            "Checkpoints of a width are compared in the ways that they have in common, received "
            f"widths {lacking} without one. Sample all their checkpoints in one way or more."
        )
    results = []
    for fraction, group in stages.items():
        verdict = fair_verdict([row for row in group if _way(row) in common], price, luck=luck)
        smaller = [b.winner is not None and b.winner < verdict.largest for b in verdict.budgets]
        smaller_beyond, largest_beyond = (verdict.signs.count(sign) / BUDGETS for sign in (-1, 1))
        results.append(
            FairFraction(fraction, sum(smaller) / BUDGETS, smaller_beyond, largest_beyond, verdict)
        )
    return results


def training_luck(rows: Sequence[Row]) -> float:
    """Standard deviation of FID between trainings of one width that differ by their seed.

    It is the root mean square over widths that were trained more than once, and over the ways in
    which all trainings of the width were sampled. It has the error of the scores, too, so that it
    is on the safe side.

    **Arguments:**

    - `rows`: of all trainings, in several runs of a width. Pass `newest(rows)`.

    **Raises** `ValueError` where no width was trained twice and sampled alike.
    """
    plain = [row for row in mean_over_seeds(rows) if not row.method]
    variances = []
    for group in by(plain, lambda row: row.size).values():
        runs = {row.run for row in group}
        ways = by(group, lambda row: (row.train_step, row.sampler, row.steps, row.guidance))
        alike = [[row.fid for row in way] for way in ways.values() if len(way) == len(runs) > 1]
        if alike:
            variances.append(np.var(alike, axis=1, ddof=1).mean())
    if not variances:
        raise ValueError(
            "The luck of a training is told from two trainings of a width, received widths "
            f"{sorted({row.width for row in plain})} without. Train one again with another seed."
        )
    return float(np.sqrt(np.mean(variances)))


def _run(row: Row) -> str:
    return row.run


def _is_at(row: Row, step: float) -> bool:
    return abs(row.train_step - step) <= step / 10


def _way(row: Row) -> tuple[int, str, int, float]:
    return row.width, row.sampler, row.steps, row.guidance
