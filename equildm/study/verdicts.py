"""The paper's findings, asked of a study's table by rule."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from .compare import difference, draws, Estimate, mean_over_seeds, NORMAL, score
from .cost import Counting
from .fit import fit_power_law
from .frontier import best, by, common_budgets, DRAWS, newest, optimal_guidance, winners
from .laws import reference_rows, train_compute
from .paper import Finding, FINDINGS
from .table import Row

Answer = Literal["reproduced", "not reproduced", "not resolvable at this scale"]
UNKNOWN: Answer = "not resolvable at this scale"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the table says about a finding.

    **Fields:**

    - `finding`: the paper's.
    - `answer`: by its rule.
    - `numbers`: that it rests on.
    """

    finding: Finding
    answer: Answer
    numbers: str


def verdicts(table: Sequence[Row]) -> list[Verdict]:
    """One for each of the paper's findings; the rule stands in the finding."""
    rows = mean_over_seeds(table)
    return [Verdict(f, *_RULES[f.name](rows)) for f in FINDINGS]


Found = tuple[Answer, str]


def _answer(sign: int) -> Answer:
    return {-1: "reproduced", 1: "not reproduced"}.get(sign, UNKNOWN)  # type: ignore[return-value]


def _plain(rows: Sequence[Row]) -> list[Row]:
    """Last checkpoints of models that were not distilled, each at its best guidance."""
    return optimal_guidance([row for row in newest(rows) if not row.method])


def _training(rows: list[Row]) -> Found:
    chosen = reference_rows(rows)
    x = [train_compute(row) for row in chosen]
    if len(set(x)) < 3 or len(chosen) < 4:
        return UNKNOWN, f"{len(chosen)} checkpoints at one way of sampling; a law takes 4."
    law = fit_power_law(x, [row.fid for row in chosen])
    low, high = law.interval
    return _answer(int(low > 0) - int(high < 0)), f"FID = {law}."


def _size(rows: list[Row]) -> Found:
    plain = _plain(rows)
    widths = by(plain, lambda row: row.width)
    if len(widths) < 2:
        return UNKNOWN, "One size."
    small, large = widths[min(widths)], widths[max(widths)]
    common = {(r.sampler, r.steps) for r in small} & {(r.sampler, r.steps) for r in large}
    if not common:
        return UNKNOWN, "No sampler and number of steps in common."
    way = max(common, key=lambda way: (way[1], way[0] == "ddim", way[0]))
    a, b = (best(r for r in group if (r.sampler, r.steps) == way) for group in (large, small))
    d = difference(a, b)
    return _answer(d.sign), f"{way[0]}, {way[1]} steps: c = {a.width} {score(a)}, " + (
        f"c = {b.width} {score(b)}; difference {d}."
    )


def _budgets(rows: list[Row], counting: Counting = "once") -> tuple[int, str]:
    """-1 where smaller models win at more budgets than larger ones."""
    if len({row.width for row in rows}) < 2:
        return 0, "One size."
    found = winners(rows, common_budgets(rows, counting=counting), counting=counting)
    asked = [w.smaller_wins for w in found if len(w.by_width) > 1]
    won, lost = asked.count(1), asked.count(-1)
    said = ", ".join(f"{w.budget:.2g}: c = {w.row.width}" for w in found)
    text = (
        f"Smaller better at {won} budgets, larger at {lost}, undecided at "
        f"{len(asked) - won - lost}. Winners: {said}."
    )
    return int(lost > won) - int(won > lost), text


def _small(rows: list[Row]) -> Found:
    sign, text = _budgets(_plain(rows))
    return _answer(sign), text


def _large(rows: list[Row]) -> Found:
    plain = _plain(rows)
    if len({row.width for row in plain}) < 2:
        return UNKNOWN, "One size."
    first, *_, last = winners(plain, common_budgets(plain))
    if first.row.width == max(last.by_width):
        return "not reproduced", f"c = {first.row.width} wins at the smallest budget already."
    rival = last.by_width[first.row.width]
    d = difference(last.largest, rival)
    text = (
        f"At {last.budget:.3g}: c = {last.largest.width} {score(last.largest)}, "
        f"c = {rival.width} {score(rival)}; difference {d}. At {first.budget:.2g} "
        f"c = {first.row.width} wins."
    )
    return _answer(d.sign), text


def _samplers(rows: list[Row]) -> Found:
    found = {name: _budgets(group) for name, group in by(_plain(rows), lambda r: r.sampler).items()}
    signs = [sign for sign, _ in found.values()]
    text = " ".join(f"{name}: {said}" for name, (_, said) in found.items())
    if 1 in signs:
        return "not reproduced", text
    return ("reproduced" if signs.count(-1) >= 2 else UNKNOWN), text


def _against_ddim(name: str, expected: int) -> Callable[[list[Row]], Found]:
    def rule(rows: list[Row]) -> Found:
        plain = [row for row in _plain(rows) if row.steps <= 20]
        ways = by(plain, lambda row: (row.run, row.steps))
        signs, said = [], []
        for group in ways.values():
            mine, ddim = ([r for r in group if r.sampler == s] for s in (name, "ddim"))
            if mine and ddim:
                d = difference(best(mine), best(ddim))
                signs.append(d.sign)
                said.append(f"c = {mine[0].width}, {mine[0].steps} steps: {d}")
        if not signs:
            return UNKNOWN, f"No row of {name} beside DDIM in up to 20 steps."
        lead = signs.count(expected) - signs.count(-expected)
        text = (
            f"{name} worse in {signs.count(1)}, better in {signs.count(-1)} of {len(signs)} cases. "
            f"{name} minus ddim: {'; '.join(said)}."
        )
        return _answer(int(lead < 0) - int(lead > 0)), text

    return rule


def _best_weights(rows: list[Row]) -> tuple[float, np.ndarray]:
    """The best guidance weight, and that of each draw."""
    weights = np.array([row.guidance for row in rows])
    return best(rows).guidance, weights[np.argmin(draws(rows, DRAWS), axis=1)]


def _compare_weights(pairs: list[tuple[str, list[Row], list[Row]]]) -> Found:
    differ, said = [], []
    for label, a, b in pairs:
        if len(a) > 1 and len(b) > 1:
            (one, many), (other, others) = _best_weights(a), _best_weights(b)
            differ.append(float(np.mean(many != others)))
            said.append(f"{label}: {one:g} and {other:g}, different in {differ[-1]:.0%} of draws")
    text = "; ".join(said) + "." if said else "Nothing to compare."
    if not differ or not (max(differ) >= 0.95 or max(differ) <= 0.05):
        return UNKNOWN, text
    return ("reproduced" if max(differ) >= 0.95 else "not reproduced"), text


def _ddim(rows: list[Row]) -> dict[int, dict[int, list[Row]]]:
    """By width, then by steps: all guidance weights."""
    chosen = [r for r in newest(rows) if r.sampler == "ddim" and not r.method]
    widths = by(chosen, lambda row: row.width)
    return {w: by(widths[w], lambda row: row.steps) for w in sorted(widths)}


def _guidance_steps(rows: list[Row]) -> Found:
    found = _ddim(rows)
    return _compare_weights(
        [
            (f"c = {w}, {min(steps)} and {max(steps)} steps", steps[min(steps)], steps[max(steps)])
            for w, steps in found.items()
            if len(steps) > 1
        ]
    )


def _guidance_size(rows: list[Row]) -> Found:
    found = _ddim(rows)
    if len(found) < 2:
        return UNKNOWN, "One size."
    small, large = found[min(found)], found[max(found)]
    return _compare_weights(
        [
            (f"{n} steps, c = {min(found)} and {max(found)}", small[n], large[n])
            for n in sorted(set(small) & set(large))
        ]
    )


def _four_steps(rows: list[Row]) -> list[tuple[Row, Row]]:
    """For each size: the best student in 4 steps, and the best undistilled row in 4."""
    pairs = []
    for group in by([r for r in newest(rows) if r.steps == 4], lambda r: r.width).values():
        students, teachers = [r for r in group if r.method], [r for r in group if not r.method]
        if students and teachers:
            pairs.append((best(students), best(teachers)))
    return pairs


def _distilled(rows: list[Row]) -> Found:
    pairs = _four_steps(rows)
    if not pairs:
        return UNKNOWN, "No student and its teacher in 4 steps."
    found = [(a, difference(a, b)) for a, b in pairs]
    text = "; ".join(f"{a.model} minus undistilled: {d}" for a, d in found) + "."
    signs = [d.sign for _, d in found]
    if 1 in signs:
        return "not reproduced", text
    return ("reproduced" if all(sign == -1 for sign in signs) else UNKNOWN), text


def steps_worth(curve: Sequence[Row], fid: float) -> float:
    """The steps at which a model's curve reaches `fid`, straight in log steps between measured
    ones; infinite if it never does, and its fewest if it is better from the start."""
    rows = sorted(curve, key=lambda row: row.steps)
    if fid >= rows[0].fid:
        return float(rows[0].steps)
    for a, b in itertools.pairwise(rows):
        if b.fid <= fid < a.fid:
            share = (a.fid - fid) / (a.fid - b.fid)
            return float(a.steps * (b.steps / a.steps) ** share)
    return float("inf")


def _speed(rows: list[Row]) -> Found:
    plain = [row for row in _plain(rows) if row.sampler == "ddim"]
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


def _distilled_budgets(rows: list[Row]) -> Found:
    chosen = newest(rows)
    four = [row for row in chosen if row.method and row.steps <= 4]
    if not four:
        return UNKNOWN, "No distilled model in up to 4 steps."
    most = max(row.sampling_cost("twice") for row in four)
    chosen = [row for row in chosen if row.sampling_cost("twice") <= most]
    sign, text = _budgets(chosen, counting="twice")
    return _answer(sign), text


def _uneven(rows: list[Row]) -> Found:
    plain = [row for row in _plain(rows) if row.sampler == "ddim"]
    students = optimal_guidance([row for row in newest(rows) if row.method == "guided"])
    ratios: dict[int, list[tuple[int, Estimate]]] = {}
    for student in students:
        for row in plain:
            if (row.width, row.steps) == (student.width, student.steps) and row.steps in (4, 8):
                a, b = score(student), score(row)
                ratio = a.value / b.value
                error = ratio * float(np.hypot(a.error / a.value, b.error / b.value))
                ratios.setdefault(row.steps, []).append((row.width, Estimate(ratio, error)))
    text = "; ".join(
        f"{n} steps: " + ", ".join(f"c = {w} {r}" for w, r in found) for n, found in ratios.items()
    )
    gaps = [
        (abs(a.value - b.value), NORMAL * float(np.hypot(a.error, b.error)))
        for found in ratios.values()
        for i, (_, a) in enumerate(found)
        for _, b in found[:i]
    ]
    if not gaps:
        return UNKNOWN, text or "No two sizes distilled by guided."
    return ("reproduced" if any(gap > error for gap, error in gaps) else UNKNOWN), text + "."


_RULES: dict[str, Callable[[list[Row]], Found]] = {
    "training compute": _training,
    "size": _size,
    "small models at small budgets": _small,
    "large models at large budgets": _large,
    "same trend in every sampler": _samplers,
    "DDPM in few steps": _against_ddim("ddpm", 1),
    "DPM-Solver++": _against_ddim("dpm++2m", -1),
    "guidance and steps": _guidance_steps,
    "guidance and size": _guidance_size,
    "distillation helps": _distilled,
    "distillation speeds all sizes alike": _speed,
    "distilled small models keep up": _distilled_budgets,
    "guided distillation is uneven": _uneven,
    "downstream": lambda rows: (UNKNOWN, "Not part of this study."),
}
