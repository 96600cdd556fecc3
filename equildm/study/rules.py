"""How the table of one family answers the paper's findings on sizes, samplers and guidance.

`paper.FINDINGS` has the rules in words.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from .compare import Estimate, score
from .contest import contest, regrets
from .frontier import (
    best,
    by,
    common_budgets,
    in_common,
    newest,
    ROUNDING,
    sampler_and_scale,
)
from .names import Unit
from .price import Price
from .scaling_laws import reference_rows, training_law
from .table import Row, Size

Answer = Literal["reproduced", "not reproduced", "not resolvable at this scale", "not tested"]
UNKNOWN: Answer = "not resolvable at this scale"
NOT_TESTED: Answer = "not tested"
FEW_SIZES = "Fewer than two sizes with a sampler and a guidance scale in common."
Ruling = tuple[Answer, str]
"""The answer, and the numbers that it rests on."""


def by_sign(sign: int) -> Answer:
    """The answer of a sign: -1 is as the paper says, 1 the reverse."""
    return {-1: "reproduced", 1: "not reproduced"}.get(sign, UNKNOWN)  # type: ignore[return-value]


def undistilled(rows: list[Row]) -> list[Row]:
    """Last checkpoints of models that were not distilled, at all guidance scales."""
    return [row for row in newest(rows) if not row.method]


def of_all_sizes(rows: list[Row]) -> list[Row]:
    """`undistilled`, in samplers and guidance scales in which every size was sampled."""
    return in_common(undistilled(rows), lambda row: row.size, sampler_and_scale)


def training_compute(rows: list[Row], unit: Unit) -> Ruling:
    """The law of FID over training compute."""
    chosen = reference_rows(rows)
    law = training_law(chosen, Price(unit))
    if law is None:
        return NOT_TESTED, f"{len(chosen)} checkpoints at one way of sampling; a law takes 4."
    low, high = law.interval or (-np.inf, np.inf)
    return by_sign(int(low > 0) - int(high < 0)), f"FID = {law}."


def size(rows: list[Row], unit: Unit) -> Ruling:
    """Largest against smallest size in the most steps."""
    sizes = by(of_all_sizes(rows), lambda row: row.size)
    if len(sizes) < 2:
        return NOT_TESTED, FEW_SIZES
    small, large = sizes[min(sizes)], sizes[max(sizes)]
    common = {(r.sampler, r.steps) for r in small} & {(r.sampler, r.steps) for r in large}
    if not common:
        return NOT_TESTED, "No sampler and number of steps in common."
    way = max(common, key=lambda way: (way[1], way[0] == "ddim", way[0]))
    large, small = ([r for r in rows if (r.sampler, r.steps) == way] for rows in (large, small))
    d = contest(large, small)
    return by_sign(d.sign), f"{way[0]}, {way[1]} steps: {_beside(large, small, d)}."


def smaller_at_budgets(rows: list[Row], price: Price) -> tuple[int, str]:
    """-1 where smaller models win at more budgets than larger ones."""
    winners, gaps = [], []
    for budget in common_budgets(rows, price=price):
        payable = [row for row in rows if price(row) <= budget * (1 + ROUNDING)]
        winners.append(f"{budget:.2g}: {best(payable).size}")
        largest = max(row.size for row in payable)
        smaller = [row for row in payable if row.size < largest]
        if smaller:
            gaps.append(contest(smaller, [row for row in payable if row.size == largest]))
    signs = [gap.sign_among(len(gaps)) for gap in gaps]
    won, lost = signs.count(-1), signs.count(1)
    text = (
        f"Smaller better at {won} budgets, larger at {lost}, undecided at "
        f"{len(signs) - won - lost}. Winners: {', '.join(winners)}."
    )
    return int(lost > won) - int(won > lost), text


def small_models(rows: list[Row], unit: Unit) -> Ruling:
    """Whether smaller models are better at more budgets than larger ones."""
    plain = of_all_sizes(rows)
    if len({row.size for row in plain}) < 2:
        return NOT_TESTED, FEW_SIZES
    sign, text = smaller_at_budgets(plain, Price(unit))
    return by_sign(sign), text


def large_models(rows: list[Row], unit: Unit) -> Ruling:
    """Whether the largest size is better at the largest budget."""
    plain, price = of_all_sizes(rows), Price(unit)
    sizes = by(plain, lambda row: row.size)
    if len(sizes) < 2:
        return NOT_TESTED, FEW_SIZES
    first, *_, last = common_budgets(plain, price=price)
    early = best(row for row in plain if price(row) <= first * (1 + ROUNDING))
    if early.size == max(sizes):
        return "not reproduced", f"{early.size} wins at the smallest budget already."
    large, rival = sizes[max(sizes)], sizes[early.size]
    d = contest(large, rival)
    text = f"At {last:.3g}: {_beside(large, rival, d)}. At {first:.2g} {early.size} wins."
    return by_sign(d.sign), text


def every_sampler(rows: list[Row], unit: Unit) -> Ruling:
    """`small_models` for each sampler."""
    samplers = {
        name: of_all_sizes(group)
        for name, group in by(undistilled(rows), lambda row: row.sampler).items()
    }
    samplers = {name: g for name, g in samplers.items() if len({row.size for row in g}) > 1}
    if len(samplers) < 2:
        return NOT_TESTED, f"{len(samplers)} samplers with several sizes; the rule takes two."
    rulings = {name: smaller_at_budgets(group, Price(unit)) for name, group in samplers.items()}
    signs = [sign for sign, _ in rulings.values()]
    text = " ".join(f"{name}: {numbers}" for name, (_, numbers) in rulings.items())
    if 1 in signs:
        return "not reproduced", text
    return ("reproduced" if signs.count(-1) >= 2 else UNKNOWN), text


def against_ddim(name: str, expected: int) -> Callable[[list[Row], Unit], Ruling]:
    """A rule: whether a sampler is worse (1) or better (-1) than DDIM in up to 20 steps."""

    def rule(rows: list[Row], unit: Unit) -> Ruling:
        plain = [r for r in undistilled(rows) if r.steps <= 20 and r.sampler in (name, "ddim")]
        gaps = []
        for group in by(plain, lambda row: (row.run, row.steps)).values():
            alike = in_common(group, lambda row: row.sampler, lambda row: row.guidance)
            mine, ddim = ([r for r in alike if r.sampler == s] for s in (name, "ddim"))
            if mine and ddim:
                gaps.append((f"{mine[0].size}, {mine[0].steps} steps", contest(mine, ddim)))
        if not gaps:
            return NOT_TESTED, f"No row of {name} beside DDIM in up to 20 steps."
        signs = [d.sign_among(len(gaps)) for _, d in gaps]
        worse, better = (signs.count(sign) for sign in (1, -1))
        lead = expected * (worse - better)
        decided = "; ".join(f"{label}: {d}" for (label, d), sign in zip(gaps, signs) if sign)
        text = (
            f"{name} worse in {worse}, better in {better} of {len(signs)} cases, "
            f"the rest undecided. {name} minus ddim: median "
            f"{np.median([d.value for _, d in gaps]):.2g}"
            f"{'; ' if decided else ''}{decided}."
        )
        resolved = 4 * abs(lead) >= len(signs)
        return by_sign(resolved * (int(lead < 0) - int(lead > 0))), text

    return rule


def _compare_scales(pairs: list[tuple[str, list[Row], list[Row]]]) -> Ruling:
    """Whether in one of the pairs each is worse at the scale that is best for the other."""
    rulings = []
    for label, a, b in pairs:
        scales = sorted({r.guidance for r in a} & {r.guidance for r in b})
        if len(scales) > 1:
            sides = [[r for w in scales for r in rows if r.guidance == w] for rows in (a, b)]
            rulings.append((label, [best(side) for side in sides], regrets(*sides)))
    if not rulings:
        return NOT_TESTED, "Nothing to compare."
    count, differ, texts = len(rulings), False, []
    for label, chosen, losses in rulings:
        crossed = all(loss.sign_among(count) == 1 for loss in losses)
        differ = differ or crossed
        texts.append(
            f"{label}: {chosen[0].guidance:g} and {chosen[1].guidance:g}, worse by {losses[0]} "
            f"and {losses[1]} at the other's" + (" (differ)" if crossed else "")
        )
    return ("reproduced" if differ else UNKNOWN), "; ".join(texts) + "."


def _ddim(rows: list[Row]) -> dict[Size, dict[int, list[Row]]]:
    """DDIM's rows by size, then by steps: all guidance scales.

    Of several trainings of one size, the one with the most rows.
    """
    sizes = by([r for r in undistilled(rows) if r.sampler == "ddim"], lambda row: row.size)
    chosen = {}
    for size in sorted(sizes):
        most = max(by(sizes[size], lambda row: row.run).values(), key=lambda group: len(group))
        chosen[size] = by(most, lambda row: row.steps)
    return chosen


def guidance_by_steps(rows: list[Row], unit: Unit) -> Ruling:
    """Whether the best scale differs between few and many steps."""
    return _compare_scales(
        [
            (f"{size}, {min(steps)} and {max(steps)} steps", steps[min(steps)], steps[max(steps)])
            for size, steps in _ddim(rows).items()
            if len(steps) > 1
        ]
    )


def guidance_by_size(rows: list[Row], unit: Unit) -> Ruling:
    """Whether the best scale differs between the sizes."""
    sizes = _ddim(rows)
    if len(sizes) < 2:
        return NOT_TESTED, "One size."
    small, large = sizes[min(sizes)], sizes[max(sizes)]
    return _compare_scales(
        [
            (f"{n} steps, {min(sizes)} and {max(sizes).member}", small[n], large[n])
            for n in sorted(set(small) & set(large))
        ]
    )


def _beside(a: list[Row], b: list[Row], difference: Estimate) -> str:
    first, second = best(a), best(b)
    return f"{first.size} {score(first)}, {second.size} {score(second)}; difference {difference}"
