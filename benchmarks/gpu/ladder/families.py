"""Transformers beside the UNets, and a flow beside v, by the rules of docs/results/study.md.

python -m benchmarks.gpu.ladder.families docs/study/families.parquet docs/study/families.png
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from equildm.study import (
    contest,
    evaluation_price,
    FAIR_PRICE,
    fair_verdict,
    family_verdicts,
    newest,
    read_table,
    Row,
    training_luck,
)
from equildm.study.drawing import by_size, draw_distances, label_axes, new_axes, STEPS

from .report import print_budgets, print_row, print_steps

FLOW = "unet rectified-flow/flow"


def report(table: Path, figure: Path) -> None:
    """Prints the answers in Markdown, and draws FID over cost and over steps."""
    rows = [r for r in newest(read_table(table)) if r.sampler == "ddim" and r.guidance == 1]
    luck = training_luck([r for r in rows if r.family == "unet" and r.steps >= 4])
    rows = [r for r in rows if "seed" not in r.run]
    print_steps(rows)

    dits = [row for row in rows if row.family == "dit"]
    verdict = fair_verdict(dits, luck=luck)
    print(f"\nTransformers alone, luck {luck:.3g}: {verdict}\n")
    print_budgets(verdict, evaluation_price(max(dits, key=lambda row: row.width)))

    print()
    print_row("budget, GFLOP", "best", "other", "difference", "answer")
    print_row(*["---"] * 5)
    both = [row for row in rows if row.family in ("unet", "dit")]
    for family in family_verdicts(both, FAIR_PRICE):
        shown = [f"{row.run}, {row.steps} steps" for row in family.best.values()]
        gaps = " ".join(map(str, family.gaps.values()))
        print_row(f"{family.budget:.3g}", *shown, gaps, family.answer)

    flow = {row.steps: row for row in rows if row.family == FLOW}
    width = next(iter(flow.values())).width
    other = {row.steps: row for row in rows if row.family == "unet" and row.width == width}
    common = sorted(flow.keys() & other.keys())
    print()
    print_row("steps", "flow minus v", "sign")
    print_row(*["---"] * 3)
    for n in common:
        gap = contest([flow[n]], [other[n]])
        print_row(n, gap, gap.sign_among(len(common)))
    for name, of in (("flow", flow), ("v", other)):
        print(f"\n{name}: FID in 4 steps over FID in 50: {of[4].fid / of[50].fid:.2f}")
    draw(rows, width).savefig(figure, dpi=130)


def draw(rows: Sequence[Row], width: int) -> Figure:
    """FID over cost of both backbones, and over steps of both objectives at one width."""
    figure, [[left, right]] = new_axes(2)
    for group, style in by_size([row for row in rows if row.family != FLOW]):
        draw_distances(left, [FAIR_PRICE(row) for row in group], group, style)
    for group, style in by_size([r for r in rows if r.family != "dit" and r.width == width]):
        draw_distances(right, [row.steps for row in group], group, style)
    label_axes(left, "GFLOP an image", rows[0].score, title="UNets and transformers", log="xy")
    label_axes(right, STEPS, rows[0].score, title=f"v and a flow, c = {width}", log="xy")
    return figure


if __name__ == "__main__":
    report(*map(Path, sys.argv[1:]))
