"""The students of the fair test's models beside their teachers.

    python -m benchmarks.gpu.ladder.students TEACHERS.parquet STUDENTS.parquet FIGURE.png

The rules are those of docs/results/study.md.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from equildm.study import FIGURES, newest, read_table, Row, score, steps_worth, verdicts
from equildm.study.frontier import best, by
from equildm.study.table import in_steps

from .report import print_row

RULES = (
    "distillation helps",
    "distillation speeds all sizes alike",
    "distilled small models keep up",
)


def report(teachers: Path, students: Path, figure: Path) -> None:
    """Prints tables and verdicts in Markdown, and draws FID in 4 steps and over cost."""
    plain, students_rows = read_table(teachers), read_table(students)
    rows = [*plain, *newest(students_rows)]
    print_steps(rows)
    print()
    print_plateau(students_rows)
    print()
    for verdict in verdicts(rows):
        if verdict.finding.name in RULES:
            print(f"- {verdict.finding.says}: **{verdict.answer}**. {verdict.numbers}")
    drawn = FIGURES["distilled"][1](rows)
    assert drawn is not None
    drawn.savefig(figure, dpi=130)


def print_steps(rows: Sequence[Row]) -> None:
    """FID of every width and method by steps, each at its best guidance scale."""
    steps = (1, 2, 4, 8, 16, 50)
    print_row("model", *map(in_steps, steps), "4 of it are worth, of DDIM")
    print_row(*["---"] * (len(steps) + 2))
    for width in sorted({row.width for row in rows}):
        sized = [row for row in rows if row.width == width]
        ddim = [r for r in sized if not r.method and r.sampler == "ddim"]
        curve = {n: best(group) for n, group in by(ddim, lambda row: row.steps).items()}
        for method in sorted({row.method for row in sized}):
            group = [r for r in sized if r.method == method and (r.method or r.sampler == "ddim")]
            at = {n: best(some) for n, some in by(group, lambda row: row.steps).items()}
            cells = [f"{score(at[n])} (w = {at[n].guidance:g})" if n in at else "" for n in steps]
            worth = steps_worth(list(curve), [r.fid for r in curve.values()], at[4].fid)
            print_row(f"c = {width} {method}", *cells, f"{worth:.3g}" if method else "")


def print_plateau(rows: Sequence[Row]) -> None:
    """FID in 4 steps of the students that are not trained in stages, by their updates."""
    groups = by((r for r in rows if r.steps == 4), lambda row: (row.run, row.guidance))
    for (run, scale), group in groups.items():
        if len(group) > 1:
            ordered = sorted(group, key=lambda row: row.train_step)
            text = ", ".join(f"{row.train_step}: {score(row)}" for row in ordered)
            print(f"- {run}, w = {scale:g}, by updates: {text}")


if __name__ == "__main__":
    report(*map(Path, sys.argv[1:]))
