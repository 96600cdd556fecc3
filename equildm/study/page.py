"""Parts of a HTML page that needs no other file."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from PIL import Image

from ..runtime import replacing, write_atomic

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
  tr, td, td.number { display: block; border: 0; padding: 2px 0; text-align: left; }
  tr { border-bottom: 1px solid #ddd; padding: 8px 0; } thead { display: none; }
  td[data-name]:not([data-name=""])::before { content: attr(data-name) ": "; color: #555; }
}
"""


def write_page(folder: Path, title: str, parts: Sequence[str]) -> Path:
    """Writes `index.html` of these parts into a folder, and returns its path."""
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )
    write_atomic(folder / "index.html", page)
    return folder / "index.html"


def heading(text: str, level: int = 2) -> str:
    """A heading."""
    return f"<h{level}>{html.escape(text)}</h{level}>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph, of a class of the style sheet."""
    start = f'<p class="{kind}">' if kind else "<p>"
    return f"{start}{html.escape(text)}</p>"


def table(heads: Sequence[str], lines: Sequence[Sequence[str]], kind: str = "") -> str:
    """A table of cells, see `cell`. On a narrow screen each row is a card with all its cells."""
    head = "".join(f"<th>{html.escape(text)}</th>" for text in heads)
    named = [[_named(text, head) for text, head in zip(line, heads)] for line in lines]
    body = "\n".join(f"<tr>{''.join(line)}</tr>" for line in named)
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead><tbody>'
        f"{body}</tbody></table></div>"
    )


def _named(text: str, head: str) -> str:
    """A cell that knows its column's name, which a narrow screen shows before the value."""
    return text.replace("<td", f'<td data-name="{html.escape(head)}"', 1)


def cell(value: object, kind: str = "", note: str = "") -> str:
    """A cell of a table, of a class of the style sheet, with a note behind the value."""
    start = f'<td class="{kind}">' if kind else "<td>"
    end = f' <span class="note">({html.escape(note)})</span>' if note else ""
    return f"{start}{html.escape(str(value))}{end}</td>"


def number(value: object) -> str:
    """A cell of a number."""
    return cell(value, "number")


def figure_png(figure: Figure) -> bytes:
    """A figure as a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def embedded_figure(folder: Path, name: str, figure: Figure, text: str) -> str:
    """The tag of a figure, whose panels stand below each other on a narrow screen."""
    wide = embedded_image(folder, name, figure_png(figure), text)
    panels = figure.get_axes()
    if len(panels) < 2:
        return wide
    grid = GridSpec(len(panels), 1, figure=figure)
    for number, panel in enumerate(panels):
        panel.set_subplotspec(grid[number])
    figure.set_size_inches(5.2, 4.0 * len(panels))
    figure.suptitle("")
    data = base64.b64encode(figure_png(figure)).decode("ascii")
    narrow = f'<source media="(max-width: 600px)" srcset="data:image/png;base64,{data}">'
    return f"<picture>{narrow}{wide}</picture>"


def image_png(image: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """An image as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def embedded_image(folder: Path, name: str, png: bytes, text: str) -> str:
    """The tag of an image that the page holds; a copy of it goes into the folder as `name`.png."""
    with replacing(folder / f"{name}.png") as part:
        part.write_bytes(png)
    data = base64.b64encode(png).decode("ascii")
    return f'<img alt="{html.escape(text)}" src="data:image/png;base64,{data}">'
