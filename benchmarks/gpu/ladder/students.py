"""The students of the fair test's models beside their teachers.

    python -m benchmarks.gpu.ladder.students FIGURE.png TEACHERS.parquet STUDENTS.parquet ...

Teachers are sampled by DDIM; other rows of theirs are left out. The rules are those of
docs/results/study.md.
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


def report(figure: Path, teachers: Path, *tables: Path) -> None:
    """Prints tables and verdicts in Markdown, and draws FID in 4 steps and over cost."""
    students = [row for table in tables for row in read_table(table)]
    plain = [r for r in read_table(teachers) if r.sampler == "ddim" and "seed" not in r.run]
    rows = newest([*plain, *students])
    print_steps(rows)
    print()
    print_plateau(students)
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
        curves = {
            method: {n: best(some) for n, some in by(group, lambda row: row.steps).items()}
            for method, group in sorted(by(sized, lambda row: row.method).items())
        }
        ddim = {n: row.fid for n, row in curves[""].items()}
        for method, curve in curves.items():
            cells = [f"{score(r)} (w = {r.guidance:g})" if r else "" for r in map(curve.get, steps)]
            four = curve.get(4) if method else None
            worth = f"{steps_worth(list(ddim), list(ddim.values()), four.fid):.3g}" if four else ""
            print_row(f"c = {width} {method}", *cells, worth)


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
