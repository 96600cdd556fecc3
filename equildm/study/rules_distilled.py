"""How the table of one family answers the paper's findings on distilled models."""

import math

import numpy as np

from .compare import draws, Estimate
from .contest import contest
from .frontier import (
    best,
    by,
    DRAWS,
    in_common,
    last_checkpoints,
    newest,
    optimal_guidance,
    sampler_and_scale,
)
from .names import Unit
from .price import Price
from .rules import by_sign, NOT_TESTED, of_all_sizes, Ruling, smaller_at_budgets, UNKNOWN
from .students import steps_worth
from .table import Row, Size


def _comparable(rows: list[Row]) -> list[Row]:
    """Undistilled rows in what all sizes were sampled in, and students likewise.

    Students count by their method too, and between the sizes that have any.
    """
    students = [row for row in newest(rows) if row.method]
    return of_all_sizes(rows) + in_common(
        students, lambda row: row.size, lambda row: (row.method, *sampler_and_scale(row))
    )


def _four_steps(rows: list[Row]) -> list[tuple[list[Row], list[Row]]]:
    """For each size: the students in 4 steps, and the undistilled rows in 4."""
    sizes = by([r for r in newest(rows) if r.steps == 4], lambda r: r.size).values()
    pairs = [([r for r in rows if r.method], [r for r in rows if not r.method]) for rows in sizes]
    return [(students, teachers) for students, teachers in pairs if students and teachers]


def distilled_better(rows: list[Row], unit: Unit) -> Ruling:
    """Students against undistilled models in 4 steps."""
    gaps = [(best(a).model, contest(a, b)) for a, b in _four_steps(rows)]
    if not gaps:
        return NOT_TESTED, "No student and its teacher in 4 steps."
    text = "; ".join(f"{model} minus undistilled: {d}" for model, d in gaps) + "."
    if any(d.sign_among(len(gaps)) == 1 for _, d in gaps):
        return "not reproduced", text
    return ("reproduced" if all(d.sign == -1 for _, d in gaps) else UNKNOWN), text


def distilled_speed(rows: list[Row], unit: Unit) -> Ruling:
    """How many steps of DDIM four of the students are worth, in draws of all scores."""
    rows = _comparable(rows)
    plain = [row for row in last_checkpoints(rows) if row.sampler == "ddim"]
    curves = by(plain, lambda row: row.size)
    students = [best(a) for a, _ in _four_steps(rows) if a[0].size in curves]
    if len(students) < 2:
        return NOT_TESTED, f"{len(students)} sizes with students and DDIM; the rule takes two."
    known = [*students, *plain]
    drawn = draws(known, DRAWS)
    factors, text = [], []
    for i, student in enumerate(students):
        curve = curves[student.size]
        places = [known.index(row) for row in curve]
        steps = [row.steps for row in curve]
        each = [steps_worth(steps, d[places], d[i]) / 4 for d in drawn]
        factors.append(each)
        low, high = np.quantile(each, (0.025, 0.975), method="nearest")
        factor = steps_worth(steps, [row.fid for row in curve], student.fid) / 4
        text.append(f"{student.size}: {factor:.3g} ({low:.3g} to {high:.3g})")
    least, most = np.min(factors, axis=0), np.max(factors, axis=0)
    alike = (most < 2 * least) & (least >= 2.5) & (most <= 10)
    numbers = f"Factors {'; '.join(text)}."
    if not np.isfinite(most).all():
        numbers += " (inf: better than DDIM in any number of steps measured)"
    if np.mean(alike) >= 0.95:
        return "reproduced", numbers
    return ("not reproduced" if np.mean(~alike & np.isfinite(most)) >= 0.95 else UNKNOWN), numbers


def distilled_at_budgets(rows: list[Row], unit: Unit) -> Ruling:
    """`small_models` with students."""
    chosen, price = _comparable(rows), Price(unit, "twice")
    four = [row for row in chosen if row.method and row.steps <= 4]
    if len({row.size for row in four}) < 2:
        return NOT_TESTED, "Fewer than two sizes with a student in up to 4 steps."
    most = max(map(price, four))
    sign, text = smaller_at_budgets([row for row in chosen if price(row) <= most], price)
    return by_sign(sign), text


def guided_uneven(rows: list[Row], unit: Unit) -> Ruling:
    """What guided distillation gains, by size."""
    plain = [row for row in last_checkpoints(rows) if row.sampler == "ddim"]
    students = optimal_guidance([row for row in newest(rows) if row.method == "guided"])
    gains: dict[int, dict[Size, tuple[float, np.ndarray]]] = {}
    for student in students:
        for row in plain:
            alike = (row.size, row.steps) == (student.size, student.steps)
            if alike and row.steps in (4, 8) and min(row.fid, student.fid) > 0:
                gain = math.log(student.fid / row.fid)
                spread = np.divide(student.fid_spread, student.fid) - np.divide(
                    row.fid_spread, row.fid
                )
                gains.setdefault(row.steps, {})[row.size] = gain, spread
    gaps = [
        Estimate(a - b, float(np.sqrt(np.mean((x - y) ** 2))), len(x) - 1)
        for sizes in gains.values()
        for i, (a, x) in enumerate(sizes.values())
        for b, y in list(sizes.values())[:i]
    ]
    text = "; ".join(
        f"{n} steps: " + ", ".join(f"{size} {math.exp(gain):.3g}" for size, (gain, _) in g.items())
        for n, g in gains.items()
    )
    if not gaps:
        return NOT_TESTED, text or "No two sizes distilled by guided."
    uneven = sum(gap.sign_among(len(gaps)) != 0 for gap in gaps)
    text += f". Different in {uneven} of {len(gaps)} pairs."
    return ("reproduced" if uneven else UNKNOWN), text
