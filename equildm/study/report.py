"""The report: one HTML page that needs no other file, and its figures as files."""

import inspect
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from .compare import mean_over_seeds, score
from .families import family_verdicts, straightness
from .figures import FIGURES, paper
from .frontier import common_budgets, families, newest, winners
from .gallery import equal_cost, guidance_strips, ImagesOf, student_panel
from .loss_figure import draw_losses, LossCurve
from .page import (
    cell,
    embedded_figure,
    embedded_image,
    figure_png,
    heading,
    image_png,
    number,
    paragraph,
    table,
    write_page,
)
from .paper import TABLE_1
from .price import OWN_COST, Price
from .recommend import recommend
from .scaling_laws import laws
from .students import student_curves, worth_in_words
from .table import in_steps, Row
from .verdicts import verdicts


def write_report(
    folder: str | os.PathLike[str],
    rows: Sequence[Row],
    *,
    title: str = "Scaling study",
    about: Sequence[str] = (),
    images_of: ImagesOf = lambda row: None,
    captions: Sequence[str] = (),
    losses: Sequence[LossCurve] = (),
    price: Price = OWN_COST,
    budgets: Sequence[float] = (),
) -> Path:
    """Writes `index.html` and PNGs into a folder, and returns the page's path.

    Everything on the page is computed from the rows. It holds its images, and loads no script, font
    or other file.

    **Arguments:**

    - `folder`: made if it is not there.
    - `rows`: the table, all of one score and reference.
    - `title`: of the page.
    - `about`: paragraphs on what was done, for instance commands and their time.
    - `images_of`: returns a row's images.
    - `captions`: of these images, in their order, which stand beside them.
    - `losses`: the loss curves of the runs.
    - `price`: what an image costs.
    - `budgets`: to recommend a model for; by default five over the table's range.

    **Raises** `ValueError` for rows of several scores, and for rows without a finite distance.
    """
    kinds = {(row.score, row.reference) for row in rows}
    if len(kinds) != 1:
        raise ValueError(
            f"A report is of rows of one score and one reference, received {sorted(kinds)}. "
            "Select those of one."
        )
    rows = mean_over_seeds(rows)
    if not rows:
        raise ValueError(
            "A report takes a row whose distance is finite, received none: every model diverged. "
            "Train with a lower learning rate."
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    plain = newest(rows)
    budgets = list(budgets) or common_budgets(plain, 5, price=price)
    parts = [heading(title, 1), paragraph(_summary(rows, price)), *map(paragraph, about)]
    parts += [heading("What to use")]
    parts += [paragraph(_answer(rows, budget, price), "answer") for budget in budgets]
    parts += [
        paragraph(
            "± is a 95 % interval over captions and noise of the sampled images (a jackknife over "
            "groups of captions), not over trainings. The expectation allows for the best of many "
            "uncertain scores being best in part by luck.",
            "note",
        ),
    ]
    for family, group in families(rows).items():
        name = "" if _has_widths_alone(rows) else f": {family}"
        parts += [heading(f"The paper's findings on these runs{name}"), _verdicts(group, price)]
    if not _has_widths_alone(rows):
        parts += _families(rows, price)
        parts += _figure(folder, "straightness", "Straightness of the paths", straightness(rows))
    for name, (text, draw) in FIGURES.items():
        parts += _figure(folder, name, text, _drawn(draw, rows, price))
        if name == "laws":
            parts += _laws(rows, price)
        if name == "students":
            parts += _students(rows)
    at_equal_cost = equal_cost(rows, images_of, price, captions)
    strips = guidance_strips(rows, images_of, captions)
    for name, text, grid in (
        ("images", "Images at equal cost (figure 10)", at_equal_cost),
        ("guidance-images", "Guidance on images (figure 7)", strips),
        ("student-images", "Students' images by steps", student_panel(rows, images_of)),
    ):
        parts.append(heading(text))
        if grid is None:
            parts.append(paragraph("No images were saved.", "note"))
        else:
            parts.append(embedded_image(folder, name, image_png(grid), text))
    parts += [heading("Winners by budget"), _winners(plain, price)]
    if losses:
        parts += _figure(folder, "losses", "Losses of the runs", draw_losses(losses))
    text = "Table 1 of the paper as curves"
    parts += [
        heading("The paper's own numbers"),
        embedded_image(folder, "paper", figure_png(paper()), text),
        _paper_table(),
        paragraph(
            "FID of Inception-v3 on 30,000 captions of COCO-2014: its scale is not that of the "
            "scores above, its shape may be compared. The printed 25.3 GFLOPS of the 39M model "
            "contradict its printed cost; 0.07 x 789.3 is drawn.",
            "note",
        ),
    ]
    return write_page(folder, title, parts)


def _drawn(draw: Callable[..., Figure | None], rows: Sequence[Row], price: Price) -> Figure | None:
    takes = "price" in inspect.signature(draw).parameters
    return draw(rows, price) if takes else draw(rows)


def _figure(folder: Path, name: str, text: str, figure: Figure | None) -> list[str]:
    if figure is None:
        return [heading(text), paragraph("The table holds no rows for this figure.", "note")]
    figure.suptitle(text)
    return [heading(text), embedded_figure(folder, name, figure, text)]


def _answer(rows: Sequence[Row], budget: float, price: Price) -> str:
    try:
        return str(recommend(rows, budget, price=price))
    except ValueError as refusal:  # it pays for nothing
        return str(refusal)


def _has_widths_alone(rows: Sequence[Row]) -> bool:
    """Whether the models are the paper's UNets, which differ by nothing but their width."""
    return set(families(rows)) == {"unet"}


def _summary(rows: Sequence[Row], price: Price) -> str:
    sizes = sorted({row.size for row in rows})
    if _has_widths_alone(rows):
        names = "widths " + ", ".join(size.member for size in sizes)
    else:
        names = ", ".join(map(str, sizes))
    runs = len({(row.run, row.train_step) for row in rows})
    methods = sorted({row.method for row in rows} - {""})
    return (
        f"{len(rows)} ways of sampling {runs} checkpoints of {names}"
        + (f", distilled by {', '.join(methods)}" if methods else "")
        + f". {rows[0].score} against {rows[0].reference}. Costs are in {price}."
    )


def _verdicts(rows: Sequence[Row], price: Price) -> str:
    kinds = {"reproduced": "reproduced", "not reproduced": "not"}
    lines = [
        [
            cell(v.finding.says, note=v.finding.where),
            cell(v.answer, kinds.get(v.answer, "unknown")),
            cell(v.numbers),
            cell(v.finding.rule, "note"),
        ]
        for v in verdicts(rows, price.unit)
    ]
    return table(["The paper finds", "Here", "Numbers", "Rule"], lines, "cards")


def _families(rows: Sequence[Row], price: Price) -> list[str]:
    """The best of each family by budget, and whether one is better than all others."""
    verdicts = family_verdicts(rows, price)
    names = list(families(rows))
    lines = []
    for verdict in verdicts:
        ways = {
            name: f"{row.size}, {row.sampler}, {in_steps(row.steps)}: {score(row)}"
            for name, row in verdict.best.items()
        }
        gaps = "; ".join(f"minus {name} {gap}" for name, gap in verdict.gaps.items())
        cells = [cell(ways.get(name, "-")) for name in names]
        lines.append([number(f"{verdict.budget:.3g}"), *cells, cell(verdict.answer, note=gaps)])
    if not lines:
        return []
    heads = ["Budget", *names, "Better than all others"]
    return [heading("Families at each budget"), table(heads, lines)]


def _winners(rows: Sequence[Row], price: Price) -> str:
    best = winners(rows, common_budgets(rows, price=price), price=price)
    lines = [
        [
            number(f"{w.budget:.3g}"),
            cell(w.row.model),
            cell(w.row.sampler),
            number(w.row.steps),
            number(f"{w.row.guidance:g}"),
            cell(score(w.row)),
            number(f"{w.probability:.0%}"),
            number(f"{w.row.match:.0%}"),
            number(f"{1e3 * w.row.seconds:.3g}"),
        ]
        for w in best
    ]
    heads = ["Budget", "Model", "Sampler", "Steps", "Guidance", rows[0].score]
    what = "width" if _has_widths_alone(rows) else "size"
    heads += [f"This {what} is best", "Caption match", "ms an image"]
    return table(heads, lines)


def _laws(rows: Sequence[Row], price: Price) -> list[str]:
    lines = [[cell(name), cell(law)] for name, law in laws(rows, price).items()]
    return [table(["Law", f"{rows[0].score} ="], lines)] if lines else []


def _students(rows: Sequence[Row]) -> list[str]:
    """Scores by steps, and how many steps of its model four of a student are worth."""
    curves = student_curves(rows)
    steps = sorted({r.steps for group in curves.values() for c in group.values() for r in c})
    scores, worth = [], []
    for group in curves.values():
        model = next(iter(group.values()))
        for name, curve in group.items():
            cells = {row.steps: row for row in curve}
            scores.append([cell(name), *(number(_cell_of(cells.get(n))) for n in steps)])
            if curve[0].method and 4 in cells and not model[0].method:
                few = {row.steps: row for row in model}.get(4)
                fids = [f"{row.fid:.0f}" if row else "-" for row in (cells[4], few)]
                words = worth_in_words(model, cells[4].fid)
                worth.append([cell(name), *map(number, fids), number(words)])
    if not scores:
        return []
    kind = rows[0].score
    note = f"{kind} / caption match / milliseconds an image / guidance scale (the best one)"
    parts = [paragraph(note, "note"), table(["Model", *map(in_steps, steps)], scores)]
    heads = ["Student", f"{kind} in 4 steps", "its model's in 4", "steps of its model for it"]
    return [*parts, table(heads, worth)] if worth else parts


def _cell_of(row: Row | None) -> str:
    if row is None:
        return "-"
    return f"{row.fid:.0f} / {row.match:.0%} / {1e3 * row.seconds:.1f} / {row.guidance:g}"


def _paper_table() -> str:
    lines = [[cell(m.size), *map(number, m[1:])] for m in TABLE_1]
    return table(["Size", "Width", "GFLOPS", "Cost", "FID", "CLIP"], lines)
