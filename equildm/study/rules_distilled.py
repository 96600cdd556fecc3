"""How a study's table answers the paper's findings on distilled models."""

import numpy as np

from .compare import difference, Estimate, NORMAL, score
from .frontier import best, by, last_checkpoints, newest, optimal_guidance
from .rules import by_sign, Ruling, smaller_at_budgets, UNKNOWN
from .students import steps_worth
from .table import Row


def _four_steps(rows: list[Row]) -> list[tuple[Row, Row]]:
    """For each size: the best student in 4 steps, and the best undistilled row in 4."""
    pairs = []
    for group in by([r for r in newest(rows) if r.steps == 4], lambda r: r.width).values():
        students, teachers = [r for r in group if r.method], [r for r in group if not r.method]
        if students and teachers:
            pairs.append((best(students), best(teachers)))
    return pairs


def distilled_better(rows: list[Row]) -> Ruling:
    """Students against undistilled models in 4 steps."""
    pairs = _four_steps(rows)
    if not pairs:
        return UNKNOWN, "No student and its teacher in 4 steps."
    gaps = [(a, difference(a, b)) for a, b in pairs]
    text = "; ".join(f"{a.model} minus undistilled: {d}" for a, d in gaps) + "."
    signs = [d.sign for _, d in gaps]
    if 1 in signs:
        return "not reproduced", text
    return ("reproduced" if all(sign == -1 for sign in signs) else UNKNOWN), text


def distilled_speed(rows: list[Row]) -> Ruling:
    """How many steps of DDIM four of the students are worth."""
    plain = [row for row in last_checkpoints(rows) if row.sampler == "ddim"]
    curves = by(plain, lambda row: row.width)
    factors = {
        student.width: steps_worth(curves[student.width], student.fid) / 4
        for student, _ in _four_steps(rows)
        if student.width in curves
    }
    text = "; ".join(f"c = {w}: {factor:.3g}" for w, factor in factors.items()) or "No students"
    if len(factors) < 2 or not np.isfinite(list(factors.values())).all():
        more = " (inf: better than DDIM in any number of steps measured)" if factors else ""
        return UNKNOWN, f"Factors {text}{more}."
    low, high = min(factors.values()), max(factors.values())
    fine = high < 2 * low and low >= 2.5 and high <= 10
    return ("reproduced" if fine else "not reproduced"), f"Factors {text}."


def distilled_at_budgets(rows: list[Row]) -> Ruling:
    """`small_models` with students."""
    chosen = newest(rows)
    four = [row for row in chosen if row.method and row.steps <= 4]
    if not four:
        return UNKNOWN, "No distilled model in up to 4 steps."
    most = max(row.sampling_cost("twice") for row in four)
    chosen = [row for row in chosen if row.sampling_cost("twice") <= most]
    sign, text = smaller_at_budgets(chosen, counting="twice")
    return by_sign(sign), text


def guided_uneven(rows: list[Row]) -> Ruling:
    """What guided distillation gains, by size."""
    plain = [row for row in last_checkpoints(rows) if row.sampler == "ddim"]
    students = optimal_guidance([row for row in newest(rows) if row.method == "guided"])
    ratios: dict[int, list[tuple[int, Estimate]]] = {}
    for student in students:
        for row in plain:
            alike = (row.width, row.steps) == (student.width, student.steps)
            if alike and row.steps in (4, 8) and min(row.fid, student.fid) > 0:
                a, b = score(student), score(row)
                ratio = a.value / b.value
                error = ratio * float(np.hypot(a.error / a.value, b.error / b.value))
                ratios.setdefault(row.steps, []).append((row.width, Estimate(ratio, error)))
    text = "; ".join(
        f"{n} steps: " + ", ".join(f"c = {w} {r}" for w, r in sizes) for n, sizes in ratios.items()
    )
    gaps = [
        (abs(a.value - b.value), NORMAL * float(np.hypot(a.error, b.error)))
        for sizes in ratios.values()
        for i, (_, a) in enumerate(sizes)
        for _, b in sizes[:i]
    ]
    if not gaps:
        return UNKNOWN, text or "No two sizes distilled by guided."
    return ("reproduced" if any(gap > error for gap, error in gaps) else UNKNOWN), text + "."
