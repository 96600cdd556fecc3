"""How a study's table answers the paper's findings on sizes, samplers and guidance.

`paper.FINDINGS` has the rules in words.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from .compare import difference, draws, score
from .cost import Counting
from .frontier import best, by, common_budgets, DRAWS, last_checkpoints, newest, winners
from .scaling_laws import fit_power_law, reference_rows, train_compute
from .table import Row

Answer = Literal["reproduced", "not reproduced", "not resolvable at this scale"]
UNKNOWN: Answer = "not resolvable at this scale"
Ruling = tuple[Answer, str]
"""The answer, and the numbers that it rests on."""


def by_sign(sign: int) -> Answer:
    """The answer of a sign: -1 is as the paper says, 1 the reverse."""
    return {-1: "reproduced", 1: "not reproduced"}.get(sign, UNKNOWN)  # type: ignore[return-value]


def training_compute(rows: list[Row]) -> Ruling:
    """The law of FID over training compute."""
    chosen = reference_rows(rows)
    x = [train_compute(row) for row in chosen]
    if len(set(x)) < 3 or len(chosen) < 4:
        return UNKNOWN, f"{len(chosen)} checkpoints at one way of sampling; a law takes 4."
    law = fit_power_law(x, [row.fid for row in chosen])
    low, high = law.interval
    return by_sign(int(low > 0) - int(high < 0)), f"FID = {law}."


def size(rows: list[Row]) -> Ruling:
    """Largest against smallest size in the most steps."""
    plain = last_checkpoints(rows)
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
    return by_sign(d.sign), f"{way[0]}, {way[1]} steps: c = {a.width} {score(a)}, " + (
        f"c = {b.width} {score(b)}; difference {d}."
    )


def smaller_at_budgets(rows: list[Row], counting: Counting = "once") -> tuple[int, str]:
    """-1 where smaller models win at more budgets than larger ones."""
    if len({row.width for row in rows}) < 2:
        return 0, "One size."
    best_rows = winners(rows, common_budgets(rows, counting=counting), counting=counting)
    signs = [w.smaller_wins for w in best_rows if len(w.by_width) > 1]
    won, lost = signs.count(1), signs.count(-1)
    names = ", ".join(f"{w.budget:.2g}: c = {w.row.width}" for w in best_rows)
    text = (
        f"Smaller better at {won} budgets, larger at {lost}, undecided at "
        f"{len(signs) - won - lost}. Winners: {names}."
    )
    return int(lost > won) - int(won > lost), text


def small_models(rows: list[Row]) -> Ruling:
    """Whether smaller models are better at more budgets than larger ones."""
    sign, text = smaller_at_budgets(last_checkpoints(rows))
    return by_sign(sign), text


def large_models(rows: list[Row]) -> Ruling:
    """Whether the largest size is better at the largest budget."""
    plain = last_checkpoints(rows)
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
    return by_sign(d.sign), text


def every_sampler(rows: list[Row]) -> Ruling:
    """`small_models` for each sampler."""
    samplers = by(last_checkpoints(rows), lambda r: r.sampler)
    rulings = {name: smaller_at_budgets(group) for name, group in samplers.items()}
    signs = [sign for sign, _ in rulings.values()]
    text = " ".join(f"{name}: {numbers}" for name, (_, numbers) in rulings.items())
    if 1 in signs:
        return "not reproduced", text
    return ("reproduced" if signs.count(-1) >= 2 else UNKNOWN), text


def against_ddim(name: str, expected: int) -> Callable[[list[Row]], Ruling]:
    """A rule: whether a sampler is worse (1) or better (-1) than DDIM in up to 20 steps."""

    def rule(rows: list[Row]) -> Ruling:
        plain = [row for row in last_checkpoints(rows) if row.steps <= 20]
        ways = by(plain, lambda row: (row.run, row.steps))
        gaps = {}
        for group in ways.values():
            mine, ddim = ([r for r in group if r.sampler == s] for s in (name, "ddim"))
            if mine and ddim:
                label = f"c = {mine[0].width}, {mine[0].steps} steps"
                gaps[label] = difference(best(mine), best(ddim))
        if not gaps:
            return UNKNOWN, f"No row of {name} beside DDIM in up to 20 steps."
        signs = [d.sign for d in gaps.values()]
        lead = signs.count(expected) - signs.count(-expected)
        decided = "; ".join(f"{label}: {d}" for label, d in gaps.items() if d.sign)
        text = (
            f"{name} worse in {signs.count(1)}, better in {signs.count(-1)} of {len(signs)} cases, "
            f"the rest undecided. {name} minus ddim: median "
            f"{np.median([d.value for d in gaps.values()]):.2g}"
            f"{'; ' if decided else ''}{decided}."
        )
        resolved = 4 * abs(lead) >= len(signs)
        return by_sign(resolved * (int(lead < 0) - int(lead > 0))), text

    return rule


def _best_scales(rows: list[Row]) -> tuple[float, np.ndarray]:
    """The best guidance scale, and that of each draw."""
    scales = np.array([row.guidance for row in rows])
    return best(rows).guidance, scales[np.argmin(draws(rows, DRAWS), axis=1)]


def _compare_scales(pairs: list[tuple[str, list[Row], list[Row]]]) -> Ruling:
    differ, texts = [], []
    for label, a, b in pairs:
        if len(a) > 1 and len(b) > 1:
            (one, many), (other, others) = _best_scales(a), _best_scales(b)
            differ.append(float(np.mean(many != others)))
            texts.append(f"{label}: {one:g} and {other:g}, different in {differ[-1]:.0%} of draws")
    text = "; ".join(texts) + "." if texts else "Nothing to compare."
    if not differ or not (max(differ) >= 0.95 or max(differ) <= 0.05):
        return UNKNOWN, text
    return ("reproduced" if max(differ) >= 0.95 else "not reproduced"), text


def _ddim(rows: list[Row]) -> dict[int, dict[int, list[Row]]]:
    """DDIM's rows by width, then by steps: all guidance scales."""
    chosen = [r for r in newest(rows) if r.sampler == "ddim" and not r.method]
    widths = by(chosen, lambda row: row.width)
    return {w: by(widths[w], lambda row: row.steps) for w in sorted(widths)}


def guidance_by_steps(rows: list[Row]) -> Ruling:
    """Whether the best scale differs between few and many steps."""
    widths = _ddim(rows)
    return _compare_scales(
        [
            (f"c = {w}, {min(steps)} and {max(steps)} steps", steps[min(steps)], steps[max(steps)])
            for w, steps in widths.items()
            if len(steps) > 1
        ]
    )


def guidance_by_size(rows: list[Row]) -> Ruling:
    """Whether the best scale differs between the sizes."""
    widths = _ddim(rows)
    if len(widths) < 2:
        return UNKNOWN, "One size."
    small, large = widths[min(widths)], widths[max(widths)]
    return _compare_scales(
        [
            (f"{n} steps, c = {min(widths)} and {max(widths)}", small[n], large[n])
            for n in sorted(set(small) & set(large))
        ]
    )
