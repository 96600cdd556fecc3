"""Families beside each other: UNets and transformers, or one noising process and another.

The models of a family differ by their size alone, so that the paper's findings are asked of each
family (`verdicts`). Here families meet: which is best at a budget, and how straight its paths are.
"""

import dataclasses
from collections.abc import Sequence

from matplotlib.figure import Figure

from .compare import Estimate, mean_over_seeds
from .contest import contest
from .drawing import by_size, label_axes, new_axes, STEPS
from .frontier import best, common_budgets, families, last_checkpoints, newest, ROUNDING
from .price import OWN_COST, Price
from .students import main_sampler
from .table import Row


@dataclasses.dataclass(frozen=True)
class FamilyVerdict:
    """The best family at a budget.

    **Fields:**

    - `budget`: for an image, in the unit of the price.
    - `best`: the best row of each family that the budget pays for, the lowest distance first.
    - `gaps`: by each other family, the distance of the first one's best minus that one's
        (`contest`).
    - `answer`: the first family where it is better than all others beyond the 95 % intervals that
        hold for all families and budgets together, else "undecided".
    """

    budget: float
    best: dict[str, Row]
    gaps: dict[str, Estimate]
    answer: str


def family_verdicts(
    rows: Sequence[Row], price: Price = OWN_COST, count: int = 9
) -> list[FamilyVerdict]:
    """Which family is best at budgets that pay for two families or more.

    Last checkpoints of models that were not distilled, in all ways of sampling. None for one
    family.

    **Arguments:**

    - `rows`: the table, of one score and reference.
    - `price`: what an image of a row costs.
    - `count`: how many budgets.
    """
    plain = [row for row in newest(mean_over_seeds(rows)) if not row.method]
    groups = families(plain)
    if len(groups) < 2:
        return []
    comparisons = count * len(groups) * (len(groups) - 1) // 2
    results = []
    for budget in common_budgets(plain, count, price=price, between=lambda row: row.family):
        payable = {
            name: [row for row in group if price(row) <= budget * (1 + ROUNDING)]
            for name, group in groups.items()
        }
        payable = {name: group for name, group in payable.items() if group}
        rows_of = {name: best(group) for name, group in payable.items()}
        first, *others = sorted(rows_of, key=lambda name: rows_of[name].fid)
        gaps = {name: contest(payable[first], payable[name]) for name in others}
        beyond = all(gap.sign_among(comparisons) == -1 for gap in gaps.values())
        answer = first if beyond else "undecided"
        ranked = {name: rows_of[name] for name in (first, *others)}
        results.append(FamilyVerdict(budget, ranked, gaps, answer))
    return results


def straightness(rows: Sequence[Row]) -> Figure | None:
    """FID over sampling steps, relative to the best of the same model: straight paths take few.

    Last checkpoints that were not distilled, by the main sampler, each at its best guidance scales.
    A line at 1 from the first step on is a path that one step follows. None for a single number of
    steps.
    """
    plain = [row for row in last_checkpoints(mean_over_seeds(rows)) if row.fid > 0]
    sampler = main_sampler(plain)
    plain = [row for row in plain if row.sampler == sampler]
    if len({row.steps for row in plain}) < 2:
        return None
    figure, [[axis]] = new_axes(1)
    for group, style in by_size(plain):
        group = sorted(group, key=lambda row: row.steps)
        lowest = best(group).fid
        axis.plot([row.steps for row in group], [row.fid / lowest for row in group], **style)
    label_axes(axis, STEPS, f"{plain[0].score} over its best", title=sampler, log="xy")
    return figure
