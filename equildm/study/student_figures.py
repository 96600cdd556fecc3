"""Figures of distilled models."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from .compare import mean_over_seeds
from .drawing import (
    by_size,
    distinct_styles,
    draw_distances,
    draw_matches,
    EVALUATIONS,
    label_axes,
    MATCH,
    new_axes,
    STEPS,
)
from .frontier import by, newest, optimal_guidance
from .price import OWN_COST, Price
from .students import main_sampler, student_curves
from .table import Row


def students(rows: Sequence[Row]) -> Figure | None:
    """Each distilled size, its model and its students: over steps, and over evaluations.

    The figure has a row of axes for each size: FID over sampling steps, FID over evaluations of the
    network for an image (two in a guided step), caption match over sampling steps.
    """
    curves = student_curves(rows)
    if not curves:
        return None
    figure, axes = new_axes(3, len(curves))
    for (left, middle, right), (size, group) in zip(axes, curves.items()):
        for (name, curve), style in zip(group.items(), distinct_styles(len(group))):
            style |= {"linestyle": "-" if curve[0].method else "--", "label": name}
            steps = [row.steps for row in curve]
            draw_distances(left, steps, curve, style)
            draw_distances(middle, [r.evaluations * r.branches for r in curve], curve, style)
            draw_matches(right, steps, curve, style)
        kind = rows[0].score
        label_axes(left, STEPS, kind, title=str(size), log="x")
        label_axes(middle, EVALUATIONS, kind, title=str(size), log="x", legend=False)
        label_axes(right, STEPS, MATCH, title=str(size), log="x", legend=False)
    return figure


def distilled(rows: Sequence[Row], price: Price = OWN_COST) -> Figure | None:
    """Figure 13: students and undistilled models in few steps, and over sampling cost.

    The former has a curve for each method and family. Few steps are 4, or the number nearest to it
    that both have. Guidance is counted twice.
    """
    price = price.guidance_twice()
    rows = optimal_guidance(newest(mean_over_seeds(rows)))
    students, plain = [r for r in rows if r.method], [r for r in rows if not r.method]
    steps = {r.steps for r in students} & {r.steps for r in plain}
    if not steps:
        return None
    few = min(steps, key=lambda n: (abs(n - 4), n))
    figure, [[left, right]] = new_axes(2)
    sampler = main_sampler(plain)
    undistilled = [r for r in plain if r.sampler == sampler]
    curves = by([*undistilled, *students], _method_and_family)
    for (name, group), style in zip(curves.items(), distinct_styles(len(curves))):
        at = sorted((r for r in group if r.steps == few), key=lambda row: row.width)
        draw_distances(left, [row.width for row in at], at, style | {"label": name})
    label_axes(left, "width c", rows[0].score, title=f"{few} steps (undistilled: {sampler})")
    for group, style in by_size(undistilled):
        group = sorted(group, key=lambda row: row.steps)
        style |= {"linestyle": "--"}
        draw_distances(right, [price(row) for row in group], group, style)
    for number, (method, group) in enumerate(by(students, lambda row: row.method).items()):
        for sized, style in by_size(group):
            sized = sorted(sized, key=lambda row: row.steps)
            style |= {"label": f"{style['label']} {method}", "marker": "s^Dv"[number % 4]}
            draw_distances(right, [price(row) for row in sized], sized, style)
    title = "students solid, undistilled dashed; guidance counted twice"
    label_axes(right, price.words, rows[0].score, title=title, log="x")
    return figure


def stages(rows: Sequence[Row]) -> Figure | None:
    """Figure 19: for each size, students of the staged methods beside the undistilled model."""
    rows = optimal_guidance(newest(mean_over_seeds(rows)))
    students = [r for r in rows if r.method in ("guided", "progressive")]
    if not students:
        return None
    plain = [r for r in rows if not r.method and r.sampler == "ddim"]
    sizes = sorted({row.size for row in students})
    figure, [axes] = new_axes(len(sizes))
    for axis, size in zip(axes, sizes):
        curves = {"undistilled, ddim": [r for r in plain if r.size == size]}
        curves |= by((r for r in students if r.size == size), lambda row: row.method)
        for (name, group), style in zip(curves.items(), distinct_styles(len(curves))):
            group = sorted(group, key=lambda row: row.steps)
            if group:
                draw_distances(axis, [r.steps for r in group], group, style | {"label": name})
        label_axes(axis, STEPS, rows[0].score, title=str(size), log="x")
    return figure


def _method_and_family(row: Row) -> str:
    method = row.method or "undistilled"
    return method if row.family == "unet" else f"{row.family} {method}"
