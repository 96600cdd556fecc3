"""The verdict of the fair test, by the rules of docs/results/study.md, as text and as a figure.

python -m benchmarks.gpu.ladder.report docs/study/fair.parquet docs/study/fair.png

A third argument is a table with two trainings of a width, where the first has one of each.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from equildm.study import (
    against_training,
    evaluation_price,
    FAIR_PRICE,
    fair_verdict,
    FairFraction,
    FairVerdict,
    newest,
    predict_largest,
    read_table,
    Row,
    score,
    training_luck,
)
from equildm.study.drawing import by_size, draw_distances, label_axes, new_axes, STEPS

WORDS = {-1: "smaller", 0: "undecided", 1: "largest"}


def report(table: Path, figure: Path, twins: Path | None = None) -> None:
    """Prints tables in Markdown, and draws FID over steps and over cost."""
    rows = read_table(table)
    first = [row for row in rows if "seed" not in row.run]
    last = newest(first)
    try:
        luck = training_luck(
            [
                row
                for row in newest(rows if twins is None else read_table(twins))
                if row.sampler == "ddim" and row.guidance == 1 and row.steps >= 4
            ]
        )
    except ValueError:
        luck = 0.0
    verdict = fair_verdict(last, luck=luck)
    print(f"{len(rows)} rows; luck of a training: {luck:.3g}\n\n{verdict}\n")

    plain = [row for row in last if row.sampler == "ddim" and row.guidance == 1]
    print_steps(plain)

    print()
    print_budgets(verdict, evaluation_price(next(r for r in last if r.width == verdict.largest)))

    fractions = against_training(first, luck=luck)
    print("\nAs the training goes on, in the settings that all checkpoints have:\n")
    budgets = len(verdict.budgets)
    print_fractions(fractions, budgets)
    print("\nOf these, at guidance 1:\n")
    plain_rows = [row for row in first if row.guidance == 1]
    print_fractions(against_training(plain_rows, luck=luck), budgets)
    print("\nEach checkpoint, in all settings that its widths have in common:")
    print_checkpoints(first, luck)
    print("\nOf these, at guidance 1:")
    print_checkpoints(plain_rows, luck)
    print("\nThe largest width, predicted by the smaller ones, in steps of DDIM:")
    for prediction in predict_largest(last):
        print(f"- {prediction}")
    draw(plain, verdict, fractions).savefig(figure, dpi=130)


def draw(rows: Sequence[Row], verdict: FairVerdict, fractions: Sequence[FairFraction]) -> Figure:
    """FID over steps of DDIM, and over cost with the budgets; who wins as the training goes on."""
    figure, [[left, right, *rest]] = new_axes(3 if len(fractions) > 1 else 2)
    for group, style in by_size(rows):
        draw_distances(left, [row.steps for row in group], group, style)
        draw_distances(right, [FAIR_PRICE(row) for row in group], group, style)
    colors = {-1: "tab:green", 0: "0.8", 1: "tab:red"}
    for budget in verdict.budgets:
        right.axvline(budget.budget, color=colors[budget.sign], linewidth=1, zorder=0)
    label_axes(left, STEPS, rows[0].score, title="FID by steps of DDIM", log="xy")
    label_axes(right, "GFLOP an image", rows[0].score, title="FID by cost", log="xy")
    if not rest:
        return figure
    (last,) = rest
    budgets, parts = len(verdict.budgets), [part.fraction for part in fractions]
    smaller = [budgets * part.smaller_beyond for part in fractions]
    largest = [budgets * part.largest_beyond for part in fractions]
    last.plot(parts, smaller, "o-", color="tab:green", label="a smaller width")
    last.plot(parts, largest, "s--", color="tab:red", label="the largest width")
    title = "Who wins as the training goes on"
    label_axes(last, "share of the training", f"budgets won of {budgets}", title=title)
    return figure


def print_steps(rows: Sequence[Row]) -> None:
    """The table of FID by steps of DDIM."""
    steps = sorted({row.steps for row in rows})
    print_row("DDIM steps", *steps)
    print_row(*["---"] * (len(steps) + 1))
    for group, style in by_size(rows):
        scores = {row.steps: str(score(row)) for row in group}
        name = f"{style['label']} ({group[0].parameters / 1e6:.2f}M)"
        print_row(name, *map(scores.get, steps))


def print_budgets(verdict: FairVerdict, unit: float) -> None:
    """The table of the budgets. An evaluation of the largest width costs `unit`."""
    print_row("budget, GFLOP", "evaluations of the largest", "difference", "better")
    print_row(*["---"] * 4)
    for budget in verdict.budgets:
        cells = f"{budget.budget:.3g}", f"{budget.budget / unit:.3g}"
        winner = "" if budget.winner is None else f" (c = {budget.winner})"
        print_row(*cells, budget.difference, WORDS[budget.sign] + winner)


def print_fractions(fractions: Sequence[FairFraction], budgets: int) -> None:
    """The table of the budgets that are won after each part of the training."""
    print_row("training", "smaller is better", "beyond the interval", "largest beyond it")
    print_row(*["---"] * 4)
    for part in fractions:
        shares = part.smaller, part.smaller_beyond, part.largest_beyond
        cells = (f"{share * budgets:.0f} of {budgets}" for share in shares)
        print_row(f"{part.fraction:g}", *cells)


def print_checkpoints(rows: Sequence[Row], luck: float) -> None:
    """The verdict of each checkpoint. One that lacks a width is left out."""
    widths = {row.width for row in rows}
    for step in sorted({row.train_step for row in rows}):
        group = [row for row in rows if row.train_step == step]
        if {row.width for row in group} == widths:
            print(f"- step {step:,}: {fair_verdict(group, luck=luck)}")


def print_row(*cells: object) -> None:
    """A line of a table in Markdown."""
    print("| " + " | ".join("" if cell is None else str(cell) for cell in cells) + " |")


if __name__ == "__main__":
    report(*map(Path, sys.argv[1:]))
