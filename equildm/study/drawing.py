"""What the figures of a study have in common: axes, colours of sizes, error bars, labels.

Sizes are colours, small to large from dark to light, of another hue for each family; error bars and
bands are 95 % intervals.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import Locator, LogLocator, MaxNLocator, NullLocator

from .compare import score
from .frontier import by, common_budgets, winners
from .price import Price
from .scaling_laws import PowerLaw
from .table import Row

COMPUTE = "training steps x GFLOPs"
STEPS = "sampling steps"
EVALUATIONS = "evaluations of the network"
COUNTS = (STEPS, EVALUATIONS)
"""Axes whose ticks are powers of two."""
MATCH = "caption match"

Style = dict[str, Any]
"""Keywords of matplotlib for a line."""
Color = tuple[float, ...] | str


COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
"""Okabe and Ito's, which readers who confuse red and green tell apart, without the yellow."""
HUES = ("Blues_r", "Oranges_r", "Greens_r", "Purples_r", "Greys_r")
"""Colormaps of families."""
MARKERS = "os^vD<>Pp*hX8"
LINES = ("-", "--", "-.", ":")


def new_axes(columns: int, rows: int = 1) -> tuple[Figure, list[list[Axes]]]:
    """A figure and its axes, row by row."""
    figure = Figure(figsize=(5.2 * columns, 4.0 * rows), layout="constrained")
    return figure, [list(row) for row in figure.subplots(rows, columns, squeeze=False)]


def by_size(rows: Iterable[Row]) -> list[tuple[list[Row], Style]]:
    """The rows of each size with its style, small to large; of several families, one by one.

    With one family each size has a marker, with several each family.
    """
    sizes = by(sorted(rows, key=lambda row: (row.size, row.point)), lambda row: row.size)
    members = by((group[0] for group in sizes.values()), lambda row: row.family)
    colors = sequence_colors(len(sizes), "viridis")
    markers: Iterable[str] = itertools.cycle(MARKERS)
    if len(members) > 1:
        counts = [len(family) for family in members.values()]
        hues = [sequence_colors(n, hue, 0.6) for n, hue in zip(counts, itertools.cycle(HUES))]
        colors = list(itertools.chain(*hues))
        markers = "".join(m * n for m, n in zip(itertools.cycle(MARKERS), counts))
    return [
        (group, {"color": color, "marker": marker, "markersize": 3.5, "label": str(size)})
        for (size, group), color, marker in zip(sizes.items(), colors, markers)
    ]


def sequence_colors(count: int, name: str, most: float = 0.85) -> list[Color]:
    """So many colours of one of matplotlib's colormaps, from its beginning to `most` of it."""
    positions = np.linspace(0.0, most, max(count, 2))
    return [colormaps[name](x) for x in positions[:count]]


def distinct_styles(count: int) -> list[Style]:
    """Styles of so many curves: colour, marker and line differ together, for up to 13 of them."""
    return [
        {
            "color": COLORS[i % len(COLORS)],
            "marker": MARKERS[i % len(MARKERS)],
            "linestyle": LINES[(i + 2 * (i // len(COLORS))) % len(LINES)],
            "markersize": 4,
        }
        for i in range(count)
    ]


def draw_distances(axis: Axes, x: Sequence[float | int], rows: Sequence[Row], style: Style) -> None:
    """The rows' distances over `x`, with error bars."""
    errors = [score(row).margin for row in rows]
    axis.errorbar(x, [row.fid for row in rows], yerr=errors, capsize=2, elinewidth=0.8, **style)


def draw_matches(axis: Axes, x: Sequence[float | int], rows: Sequence[Row], style: Style) -> None:
    """The rows' caption matches over `x`, with error bars."""
    match = np.array([(r.match, r.match - r.match_low, r.match_high - r.match) for r in rows])
    axis.errorbar(x, match[:, 0], yerr=match[:, 1:].T, capsize=2, **style)


def mark_winners(axis: Axes, rows: Sequence[Row], price: Price) -> None:
    """A star at the winner of each budget, and a line at the budget."""
    for winner in winners(rows, common_budgets(rows, price=price), price=price):
        axis.axvline(winner.budget, color="grey", linestyle=":", linewidth=0.8)
        at = price(winner.row), winner.row.fid
        axis.plot(*at, marker="*", markersize=11, color="crimson", zorder=5)


def draw_law(axis: Axes, law: PowerLaw, x: Sequence[float], color: Color) -> None:
    """A power law over the range of `x`, with its band if it has one."""
    at = np.geomspace(min(x), max(x), 60)
    axis.plot(at, law(at), color=color, linewidth=1)
    if law.interval is not None:
        axis.fill_between(at, *law.band(at), color=color, alpha=0.12, linewidth=0)


def _locator(low: float, high: float, *, counts: bool) -> Locator:
    """Ticks of a logarithmic axis: 4, 8, 16 for counts, else 1, 2, 5, and more on a short one."""
    if counts:
        return LogLocator(2)
    return LogLocator(10, (1, 2, 5)) if high > 8 * low > 0 else MaxNLocator(5)


def label_axes(
    axis: Axes, x: str, y: str, *, title: str = "", log: str = "", legend: bool = True
) -> None:
    """Labels, grid and legend; `log` names the logarithmic axes, for instance "xy"."""
    axis.set(xlabel=x, ylabel=y, title=title)
    for name, side, label in (("x", axis.xaxis, x), ("y", axis.yaxis, y)):
        if name in log:
            axis.set(**{f"{name}scale": "log"})
            side.set_major_locator(_locator(*side.get_view_interval(), counts=label in COUNTS))
            side.set_major_formatter("{x:g}")
            side.set_minor_locator(NullLocator())
    axis.grid(alpha=0.3, which="both")
    axis.title.set_fontsize("medium")
    names = axis.get_legend_handles_labels()[1]
    if legend and names:
        place: Style = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)}
        axis.legend(fontsize="x-small", **(place if len(names) > 8 else {}))
