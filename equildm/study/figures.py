"""The paper's figures, of a study's table.

Each function gives a matplotlib figure, or None where the table holds nothing for it. Sizes are
colours, small to large from dark to light; error bars and bands are 95 % intervals.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from .compare import mean_over_seeds, NORMAL, score
from .cost import Counting
from .frontier import by, common_budgets, newest, optimal_guidance, winners
from .laws import laws, reference_rows, train_compute
from .paper import TABLE_1
from .table import Row

COST = "sampling cost (normalised cost x steps)"
STEPS = "sampling steps"


def training(rows: Sequence[Row]) -> Figure | None:
    """Figure 3: quality over training compute, a line for each size, all sampled alike."""
    chosen = reference_rows(rows)
    if len({row.train_step for row in chosen}) < 2:
        return None
    figure, (left, right) = _axes(2)
    for group, style in _sizes(chosen):
        x = [train_compute(row) for row in group]
        _errors(left, x, group, style)
        match = np.array([(r.match, r.match - r.match_low, r.match_high - r.match) for r in group])
        right.errorbar(x, match[:, 0], yerr=match[:, 1:].T, capsize=2, **style)
    row = chosen[0]
    title = f"{row.sampler}, {row.steps} steps, guidance {row.guidance:g}"
    _label(left, "training steps x GFLOPs", row.score, title=title, log="x")
    _label(right, "training steps x GFLOPs", "caption match", log="x")
    return figure


def guidance(rows: Sequence[Row]) -> Figure | None:
    """Figure 8: FID over guidance by steps for the smallest and largest size, and the best weight
    of each size over steps; of the sampler that most is known of."""
    plain = [row for row in newest(mean_over_seeds(rows)) if not row.method]
    if len({row.guidance for row in plain}) < 2:
        return None
    sampler = _most(plain)
    plain = [row for row in plain if row.sampler == sampler]
    widths = by(sorted(plain, key=lambda row: row.width), lambda row: row.width)
    shown = sorted({min(widths), max(widths)})
    figure, axes = _axes(len(shown) + 1)
    for axis, width in zip(axes, shown):
        curves = by(sorted(widths[width], key=lambda row: row.point), lambda row: row.steps)
        for (steps, group), color in zip(sorted(curves.items()), _colors(len(curves), "plasma")):
            group = sorted(group, key=lambda row: row.guidance)
            style = {"color": color, "marker": "o", "markersize": 3, "label": f"{steps} steps"}
            _errors(axis, [row.guidance for row in group], group, style)
        _label(axis, "guidance", plain[0].score, title=f"c = {width}, {sampler}")
    for group, style in _sizes(optimal_guidance(plain)):
        group = sorted(group, key=lambda row: row.steps)
        axes[-1].plot([row.steps for row in group], [row.guidance for row in group], **style)
    _label(axes[-1], STEPS, "best guidance", title=sampler, log="x")
    return figure


def cost(rows: Sequence[Row], counting: Counting = "once") -> Figure | None:
    """Figure 9: sampling cost by steps, and FID over sampling cost with the winner of each
    budget."""
    plain = optimal_guidance([r for r in newest(mean_over_seeds(rows)) if not r.method])
    sampler = _most(plain)
    plain = [row for row in plain if row.sampler == sampler]
    if len({row.steps for row in plain}) < 2:
        return None
    figure, (left, right) = _axes(2)
    for group, style in _sizes(plain):
        group = sorted(group, key=lambda row: row.steps)
        x = [row.sampling_cost(counting) for row in group]
        left.plot([row.steps for row in group], x, **style)
        _errors(right, x, group, style)
    _label(left, STEPS, COST, log="xy")
    _label(right, COST, plain[0].score, title=f"{sampler}, each at its best guidance", log="x")
    _mark_winners(right, plain, counting)
    return figure


def samplers(rows: Sequence[Row], counting: Counting = "once") -> Figure | None:
    """Figure 11: FID over sampling cost, other samplers solid beside DDIM dashed."""
    plain = optimal_guidance([r for r in newest(mean_over_seeds(rows)) if not r.method])
    found = by(plain, lambda row: row.sampler)
    others = [name for name in found if name != "ddim"]
    if "ddim" not in found or not others:
        return None
    figure, axes = _axes(len(others))
    for axis, name in zip(axes, others):
        for shown, line in ((found["ddim"], "--"), (found[name], "-")):
            for group, style in _sizes(shown):
                group = sorted(group, key=lambda row: row.steps)
                if line == "--":
                    style |= {"label": None, "alpha": 0.6}
                x = [row.sampling_cost(counting) for row in group]
                _errors(axis, x, group, style | {"linestyle": line})
        _mark_winners(axis, [*found["ddim"], *found[name]], counting)
        _label(axis, COST, plain[0].score, title=f"{name} (solid) and ddim (dashed)", log="x")
    return figure


def distilled(rows: Sequence[Row]) -> Figure | None:
    """Figure 13: students and undistilled models in 4 steps (or the number nearest to it) by size,
    and over sampling cost with guidance counted twice."""
    rows = optimal_guidance(newest(mean_over_seeds(rows)))
    students, plain = [r for r in rows if r.method], [r for r in rows if not r.method]
    steps = {r.steps for r in students} & {r.steps for r in plain}
    if not steps:
        return None
    few = min(steps, key=lambda n: (abs(n - 4), n))
    figure, (left, right) = _axes(2)
    sampler = _most(plain)
    curves = {"undistilled": [r for r in plain if r.sampler == sampler]}
    curves |= by(students, lambda row: row.method)
    for (name, group), color in zip(curves.items(), _colors(len(curves), "tab10")):
        at = sorted((r for r in group if r.steps == few), key=lambda row: row.width)
        style = {"color": color, "marker": "o", "label": name}
        _errors(left, [row.width for row in at], at, style)
    _label(left, "width c", rows[0].score, title=f"{few} steps (undistilled: {sampler})")
    for group, style in _sizes(curves["undistilled"]):
        group = sorted(group, key=lambda row: row.steps)
        style |= {"linestyle": "--"}
        _errors(right, [row.sampling_cost("twice") for row in group], group, style)
    for number, (method, group) in enumerate(by(students, lambda row: row.method).items()):
        for sized, style in _sizes(group):
            sized = sorted(sized, key=lambda row: row.steps)
            style |= {"label": f"{style['label']} {method}", "marker": "s^Dv"[number % 4]}
            _errors(right, [row.sampling_cost("twice") for row in sized], sized, style)
    title = "students solid, undistilled dashed; guidance counted twice"
    _label(right, COST, rows[0].score, title=title, log="x")
    return figure


def stages(rows: Sequence[Row]) -> Figure | None:
    """Figure 19: for each size, students of the staged methods beside the undistilled model."""
    rows = optimal_guidance(newest(mean_over_seeds(rows)))
    students = [r for r in rows if r.method in ("guided", "progressive")]
    if not students:
        return None
    plain = [r for r in rows if not r.method and r.sampler == "ddim"]
    widths = sorted({row.width for row in students})
    figure, axes = _axes(len(widths))
    for axis, width in zip(axes, widths):
        curves = {"undistilled, ddim": [r for r in plain if r.width == width]}
        curves |= by((r for r in students if r.width == width), lambda row: row.method)
        for (name, group), color in zip(curves.items(), _colors(len(curves), "tab10")):
            group = sorted(group, key=lambda row: row.steps)
            style = {"color": color, "marker": "o", "label": name}
            if group:
                _errors(axis, [row.steps for row in group], group, style)
        _label(axis, STEPS, rows[0].score, title=f"c = {width}", log="x")
    return figure


def fitted(rows: Sequence[Row], counting: Counting = "once") -> Figure | None:
    """The power laws with their bands, over the points that they were fitted to."""
    found = laws(rows, counting)
    sampling = found.get("sampling, frontier")
    training_laws = {n: law for n, law in found.items() if n.startswith("training")}
    panels = bool(training_laws) + (sampling is not None)
    if not panels:
        return None
    figure, axes = _axes(panels)
    if training_laws:
        chosen = reference_rows(rows)
        colors = {group[0].width: style["color"] for group, style in _sizes(chosen)}
        for group, style in _sizes(chosen):
            x = [train_compute(row) for row in group]
            _errors(axes[0], x, group, style | {"linestyle": "none"})
        for name, law in training_laws.items():
            width = int(name.rpartition(" ")[2]) if "c =" in name else None
            x = [train_compute(r) for r in chosen if width in (None, r.width)]
            _law(axes[0], law, x, colors.get(width, "black") if width else "black")
        _label(axes[0], "training steps x GFLOPs", chosen[0].score, log="xy")
    if sampling is not None:
        plain = optimal_guidance([r for r in newest(mean_over_seeds(rows)) if not r.method])
        for group, style in _sizes(plain):
            x = [row.sampling_cost(counting) for row in group]
            axes[-1].plot(x, [row.fid for row in group], **style | {"linestyle": "none"})
        x = [row.sampling_cost(counting) for row in plain]
        _law(axes[-1], sampling, x, "black")
        _label(axes[-1], COST, plain[0].score, title="frontier of all samplers", log="xy")
    return figure


def paper() -> Figure:
    """The paper's own table 1: its FID over training compute and over cost, 50 steps of DDIM."""
    figure, (left, right) = _axes(2)
    fid = [model.fid for model in TABLE_1]
    for axis, x, label in (
        (left, [model.train_compute for model in TABLE_1], "training steps x GFLOPs"),
        (right, [50 * model.cost for model in TABLE_1], COST),
    ):
        axis.plot(x, fid, color="black", marker="o", markersize=4)
        for model, at in zip(TABLE_1, x):
            axis.annotate(model.size, (at, model.fid), (3, 3), textcoords="offset points", size=7)
        _label(axis, label, "FID, COCO-2014", title="paper, table 1", log="x", legend=False)
    return figure


FIGURES: dict[str, tuple[str, Callable[..., Figure | None]]] = {
    "training": ("Quality against training compute (figure 3)", training),
    "guidance": ("Guidance, and the best weight by size and steps (figure 8)", guidance),
    "cost": ("Quality against sampling cost, the winner of each budget marked (figure 9)", cost),
    "samplers": ("Samplers (figure 11)", samplers),
    "distilled": ("Distilled against undistilled (figure 13)", distilled),
    "stages": ("Staged distillation (figure 19)", stages),
    "laws": ("Fitted power laws", fitted),
}
"""By name: the heading, and what draws it."""


def _axes(count: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(5.2 * count, 4.0), layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def _sizes(rows: Iterable[Row]) -> list[tuple[list[Row], dict[str, Any]]]:
    """Rows of each size with its style, small to large."""
    widths = by(sorted(rows, key=lambda row: (row.width, row.point)), lambda row: row.width)
    colors = _colors(len(widths), "viridis")
    return [
        (group, {"color": color, "marker": "o", "markersize": 3.5, "label": f"c = {width}"})
        for (width, group), color in zip(widths.items(), colors)
    ]


def _colors(count: int, name: str) -> list[Any]:
    if name == "tab10":
        return [colormaps[name](i % 10) for i in range(count)]
    return [colormaps[name](x) for x in np.linspace(0.0, 0.85, max(count, 2))][:count]


def _errors(axis: Axes, x: Sequence[Any], rows: Sequence[Row], style: dict[str, Any]) -> None:
    errors = [NORMAL * score(row).error for row in rows]
    axis.errorbar(x, [row.fid for row in rows], yerr=errors, capsize=2, elinewidth=0.8, **style)


def _mark_winners(axis: Axes, rows: Sequence[Row], counting: Counting) -> None:
    for winner in winners(rows, common_budgets(rows, counting=counting), counting=counting):
        axis.axvline(winner.budget, color="grey", linestyle=":", linewidth=0.8)
        at = winner.row.sampling_cost(counting), winner.row.fid
        axis.plot(*at, marker="*", markersize=11, color="crimson", zorder=5)


def _law(axis: Axes, law: Any, x: Sequence[float], color: Any) -> None:
    at = np.geomspace(min(x), max(x), 60)
    axis.plot(at, law(at), color=color, linewidth=1)
    axis.fill_between(at, *law.band(at), color=color, alpha=0.12, linewidth=0)


def _label(
    axis: Axes, x: str, y: str, *, title: str = "", log: str = "", legend: bool = True
) -> None:
    axis.set(xlabel=x, ylabel=y, title=title)
    for name, side in (("x", axis.xaxis), ("y", axis.yaxis)):
        if name in log:
            steps = name == "x" and x == STEPS
            axis.set(**{f"{name}scale": "log"})
            side.set_major_locator(LogLocator(2 if steps else 10, (1,) if steps else (1, 2, 5)))
            side.set_major_formatter("{x:g}")
            side.set_minor_locator(NullLocator())
    axis.grid(alpha=0.3, which="both")
    axis.title.set_fontsize("medium")
    if legend and axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize="x-small")


def _most(rows: Sequence[Row]) -> str:
    """The sampler of the most rows; DDIM where it is as common as another."""
    names = by(rows, lambda row: row.sampler)
    return max(names, key=lambda name: (len(names[name]), name == "ddim"), default="")
