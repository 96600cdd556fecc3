"""The report: one HTML page that needs nothing else, and its figures as files."""

import base64
import html
import inspect
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..runtime import replacing, write_atomic
from .compare import mean_over_seeds, score
from .cost import Counting
from .figures import FIGURES, paper
from .frontier import common_budgets, newest, winners
from .gallery import equal_cost, guidance_strips, Shown
from .laws import laws
from .paper import TABLE_1
from .recommend import recommend
from .rules import UNKNOWN
from .table import Row
from .verdicts import Verdict, verdicts

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 0 auto;
  max-width: 1120px; padding: 16px; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
img { max-width: 100%; height: auto; display: block; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .88rem; }
th, td { border-bottom: 1px solid #ddd; padding: 4px 8px; text-align: left; vertical-align: top; }
td.number { text-align: right; white-space: nowrap; }
.answer { border-left: 4px solid #2a7; padding: 2px 12px; margin: 8px 0; background: #f4faf7; }
.reproduced { color: #176b3c; font-weight: 600; } .not { color: #a3271b; font-weight: 600; }
.unknown { color: #666; font-weight: 600; } .note { color: #555; font-size: .88rem; }
@media (max-width: 600px) {
  .cards tr, .cards td { display: block; border: 0; padding: 2px 0; }
  .cards tr { border-bottom: 1px solid #ddd; padding: 8px 0; } .cards thead { display: none; }
}
"""


def write_report(
    folder: str | os.PathLike[str],
    rows: Sequence[Row],
    *,
    title: str = "Scaling study",
    about: Sequence[str] = (),
    shown: Shown = lambda row: None,
    counting: Counting = "once",
    budgets: Sequence[float] = (),
) -> Path:
    """Writes `index.html` and PNGs into a folder, and returns the page's path.

    Everything on the page is computed from the rows. It holds its images, and asks for no script,
    font or other file.

    **Arguments:**

    - `folder`: made if it is not there.
    - `rows`: the table, all of one score and reference.
    - `title`: of the page.
    - `about`: paragraphs on what was done, for instance commands and their time.
    - `shown`: gives a row's pictures.
    - `counting`: how guidance counts in costs.
    - `budgets`: to answer the question for; by default five over the table's range.
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
            "Train with a lower rate."
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    plain = newest(rows)
    budgets = list(budgets) or common_budgets(plain, 5, counting=counting)
    parts = [f"<h1>{html.escape(title)}</h1>", _summary(rows, counting)]
    parts += [f"<p>{html.escape(text)}</p>" for text in about]
    parts += ["<h2>What to use</h2>"]
    parts += [
        f'<p class="answer">{html.escape(_answer(rows, budget, counting))}</p>'
        for budget in budgets
    ]
    parts += [
        '<p class="note">± is a 95 % interval over captions and noise of the sampled pictures '
        "(a jackknife over groups of captions), not over trainings. The expectation allows for the "
        "best of many uncertain scores being best in part by luck.</p>",
        "<h2>The paper's findings on these runs</h2>",
        _verdicts(verdicts(rows)),
    ]
    for name, (heading, draw) in FIGURES.items():
        counted = "counting" in inspect.signature(draw).parameters
        figure = draw(rows, counting) if counted else draw(rows)
        parts.append(f"<h2>{html.escape(heading)}</h2>")
        if figure is None:
            parts.append('<p class="note">The table holds no rows for this figure.</p>')
            continue
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
        parts.append(_image(folder, name, buffer.getvalue(), heading))
        if name == "laws":
            parts.append(_laws(rows, counting))
    for name, heading, grid in (
        ("pictures", "Pictures at equal cost (figure 10)", equal_cost(rows, shown, counting)),
        ("guidance-pictures", "Guidance on pictures (figure 7)", guidance_strips(rows, shown)),
    ):
        parts.append(f"<h2>{heading}</h2>")
        if grid is None:
            parts.append('<p class="note">No pictures were kept.</p>')
        else:
            parts.append(_image(folder, name, _png(grid), heading))
    parts += ["<h2>Winners by budget</h2>", _winners(plain, counting)]
    buffer = io.BytesIO()
    paper().savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    parts += [
        "<h2>The paper's own numbers</h2>",
        _image(folder, "paper", buffer.getvalue(), "Table 1 of the paper as curves"),
        _paper_table(),
        '<p class="note">FID of Inception-v3 on 30,000 captions of COCO-2014: its scale is not '
        "that of the scores above, its shape may be compared. The printed 25.3 GFLOPS of the 39M "
        "model contradict its printed cost; 0.07 x 789.3 is drawn.</p>",
    ]
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )
    write_atomic(folder / "index.html", page)
    return folder / "index.html"


def _answer(rows: Sequence[Row], budget: float, counting: Counting) -> str:
    try:
        return str(recommend(rows, budget, counting=counting))
    except ValueError as refusal:  # it pays for nothing
        return str(refusal)


def _summary(rows: Sequence[Row], counting: Counting) -> str:
    widths = ", ".join(map(str, sorted({row.width for row in rows})))
    runs = len({(row.run, row.train_step) for row in rows})
    methods = sorted({row.method for row in rows} - {""})
    text = (
        f"{len(rows)} ways of sampling {runs} checkpoints of widths {widths}"
        + (f", distilled by {', '.join(methods)}" if methods else "")
        + f". {rows[0].score} against {rows[0].reference}. Costs are in evaluations of the paper's "
        f"866M model on 64x64x4, guidance counted {counting}."
    )
    return f"<p>{html.escape(text)}</p>"


def _verdicts(found: Sequence[Verdict]) -> str:
    kinds = {"reproduced": "reproduced", "not reproduced": "not", UNKNOWN: "unknown"}
    lines = [
        f"<tr><td>{html.escape(v.finding.says)} <span class=note>({html.escape(v.finding.where)})"
        f'</span></td><td class="{kinds[v.answer]}">{v.answer}</td>'
        f"<td>{html.escape(v.numbers)}</td><td class=note>{html.escape(v.finding.rule)}</td></tr>"
        for v in found
    ]
    return _table(["The paper finds", "Here", "Numbers", "Rule"], lines, kind="cards")


def _winners(rows: Sequence[Row], counting: Counting) -> str:
    found = winners(rows, common_budgets(rows, counting=counting), counting=counting)
    lines = [
        f"<tr>{_number(f'{w.budget:.3g}')}<td>{html.escape(w.row.model)}</td>"
        f"<td>{html.escape(w.row.sampler)}</td>{_number(w.row.steps)}"
        f"{_number(f'{w.row.guidance:g}')}<td>{score(w.row)}</td>{_number(f'{w.probability:.0%}')}"
        f"{_number(f'{w.row.match:.0%}')}{_number(f'{1e3 * w.row.seconds:.3g}')}</tr>"
        for w in found
    ]
    heads = ["Budget", "Model", "Sampler", "Steps", "Guidance", rows[0].score]
    heads += ["This width is best", "Caption match", "ms a picture"]
    return _table(heads, lines)


def _laws(rows: Sequence[Row], counting: Counting) -> str:
    lines = [
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(str(law))}</td></tr>"
        for name, law in laws(rows, counting).items()
    ]
    return _table(["Law", f"{rows[0].score} ="], lines)


def _paper_table() -> str:
    lines = [
        f"<tr><td>{m.size}</td>" + "".join(_number(value) for value in m[1:]) + "</tr>"
        for m in TABLE_1
    ]
    return _table(["Size", "Width", "GFLOPS", "Cost", "FID", "CLIP"], lines)


def _table(heads: Sequence[str], lines: Sequence[str], kind: str = "") -> str:
    head = "".join(f"<th>{html.escape(text)}</th>" for text in heads)
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead><tbody>'
        + "\n".join(lines)
        + "</tbody></table></div>"
    )


def _number(value: object) -> str:
    return f'<td class="number">{html.escape(str(value))}</td>'


def _image(folder: Path, name: str, png: bytes, text: str) -> str:
    with replacing(folder / f"{name}.png") as part:
        part.write_bytes(png)
    data = base64.b64encode(png).decode("ascii")
    return f'<img alt="{html.escape(text)}" src="data:image/png;base64,{data}">'


def _png(grid: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(grid).save(buffer, format="PNG")
    return buffer.getvalue()
