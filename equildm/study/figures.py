"""The paper's figures, drawn from a study's table.

Each function returns a matplotlib figure, or None if the table holds no rows for it.
"""

from collections.abc import Callable, Mapping, Sequence

from matplotlib.figure import Figure

from .compare import mean_over_seeds
from .drawing import (
    by_size,
    COMPUTE,
    draw_distances,
    draw_law,
    draw_matches,
    label_axes,
    mark_winners,
    MATCH,
    new_axes,
    sequence_colors,
    STEPS,
    Style,
)
from .frontier import by, last_checkpoints, newest, optimal_guidance
from .paper import TABLE_1
from .price import OWN_COST, Price
from .scaling_laws import laws, reference_rows, training_groups
from .student_figures import distilled, stages, students
from .students import main_sampler
from .table import Row


def training(rows: Sequence[Row], price: Price = OWN_COST) -> Figure | None:
    """Figure 3: quality over training compute, a line for each size, all sampled alike."""
    chosen = reference_rows(rows)
    if len({row.train_step for row in chosen}) < 2:
        return None
    figure, [[left, right]] = new_axes(2)
    for group, style in by_size(chosen):
        x = [price.training(row) for row in group]
        draw_distances(left, x, group, style)
        draw_matches(right, x, group, style)
    row = chosen[0]
    title = f"{row.sampler}, {row.steps} steps, guidance {row.guidance:g}"
    label_axes(left, COMPUTE, row.score, title=title, log="x")
    label_axes(right, COMPUTE, MATCH, title=title, log="x")
    return figure


def guidance(rows: Sequence[Row]) -> Figure | None:
    """Figure 8: FID over the guidance scale by steps, and the best scale of each size over steps.

    The former for the sizes of the fewest and the most operations; all for the main sampler.
    """
    plain = [row for row in newest(mean_over_seeds(rows)) if not row.method]
    if len({row.guidance for row in plain}) < 2:
        return None
    sampler = main_sampler(plain)
    plain = sorted((r for r in plain if r.sampler == sampler), key=lambda row: row.gflops)
    sizes = by(plain, lambda row: row.size)
    ends = list(dict.fromkeys((plain[0].size, plain[-1].size)))
    figure, [axes] = new_axes(len(ends) + 1)
    for axis, size in zip(axes, ends):
        curves = by(sorted(sizes[size], key=lambda row: row.point), lambda row: row.steps)
        colors = sequence_colors(len(curves), "plasma")
        for (steps, group), color in zip(sorted(curves.items()), colors):
            group = sorted(group, key=lambda row: row.guidance)
            style: Style = {"color": color, "marker": "o", "markersize": 3}
            style["label"] = f"{steps} steps"
            draw_distances(axis, [row.guidance for row in group], group, style)
        label_axes(axis, "guidance", plain[0].score, title=f"{size}, {sampler}")
    for group, style in by_size(optimal_guidance(plain)):
        group = sorted(group, key=lambda row: row.steps)
        axes[-1].plot([row.steps for row in group], [row.guidance for row in group], **style)
    label_axes(axes[-1], STEPS, "best guidance", title=sampler, log="x")
    return figure


def cost(rows: Sequence[Row], price: Price = OWN_COST) -> Figure | None:
    """Figure 9: sampling cost by steps, and FID over sampling cost with each budget's winner."""
    plain = last_checkpoints(mean_over_seeds(rows))
    sampler = main_sampler(plain)
    plain = [row for row in plain if row.sampler == sampler]
    if len({row.steps for row in plain}) < 2:
        return None
    figure, [[left, right]] = new_axes(2)
    for group, style in by_size(plain):
        group = sorted(group, key=lambda row: row.steps)
        x = [price(row) for row in group]
        left.plot([row.steps for row in group], x, **style)
        draw_distances(right, x, group, style)
    title = f"{sampler}, each at its best guidance"
    label_axes(left, STEPS, price.words, title=title, log="xy")
    label_axes(right, price.words, plain[0].score, title=title, log="x")
    mark_winners(right, plain, price)
    return figure


def samplers(rows: Sequence[Row], price: Price = OWN_COST) -> Figure | None:
    """Figure 11: FID over sampling cost, other samplers solid beside DDIM dashed."""
    plain = last_checkpoints(mean_over_seeds(rows))
    rows_of = by(plain, lambda row: row.sampler)
    others = [name for name in rows_of if name != "ddim"]
    if "ddim" not in rows_of or not others:
        return None
    figure, [axes] = new_axes(len(others))
    for axis, name in zip(axes, others):
        for curves, line in ((rows_of["ddim"], "--"), (rows_of[name], "-")):
            for group, style in by_size(curves):
                group = sorted(group, key=lambda row: row.steps)
                if line == "--":
                    style |= {"label": None, "alpha": 0.6}
                x = [price(row) for row in group]
                draw_distances(axis, x, group, style | {"linestyle": line})
        mark_winners(axis, [*rows_of["ddim"], *rows_of[name]], price)
        title = f"{name} (solid) and ddim (dashed)"
        label_axes(axis, price.words, plain[0].score, title=title, log="x")
    return figure


def fitted(rows: Sequence[Row], price: Price = OWN_COST) -> Figure | None:
    """The power laws with their bands, over the points that they were fitted to."""
    all_laws = laws(rows, price)
    sampling = all_laws.get("sampling, frontier")
    chosen = reference_rows(rows)
    fits = {n: group for n, group in training_groups(chosen).items() if n in all_laws}
    panels = bool(fits) + (sampling is not None)
    if not panels:
        return None
    figure, [axes] = new_axes(panels)
    if fits:
        colors = {group[0].size: style["color"] for group, style in by_size(chosen)}
        for group, style in by_size(chosen):
            x = [price.training(row) for row in group]
            draw_distances(axes[0], x, group, style | {"linestyle": "none"})
        for name, group in fits.items():
            color = "black" if "all sizes" in name else colors[group[0].size]
            draw_law(axes[0], all_laws[name], [price.training(row) for row in group], color)
        label_axes(axes[0], COMPUTE, chosen[0].score, log="xy")
    if sampling is not None:
        plain = last_checkpoints(mean_over_seeds(rows))
        for group, style in by_size(plain):
            x = [price(row) for row in group]
            axes[-1].plot(x, [row.fid for row in group], **style | {"linestyle": "none"})
        x = [price(row) for row in plain]
        draw_law(axes[-1], sampling, x, "black")
        title = "frontier of all samplers"
        label_axes(axes[-1], price.words, plain[0].score, title=title, log="xy")
    return figure


def paper() -> Figure:
    """The paper's own table 1: its FID over training compute and over cost, 50 steps of DDIM."""
    figure, [[left, right]] = new_axes(2)
    fid = [model.fid for model in TABLE_1]
    for axis, x, label in (
        (left, [model.train_compute for model in TABLE_1], COMPUTE),
        (right, [50 * model.cost for model in TABLE_1], Price("paper").words),
    ):
        axis.plot(x, fid, color="black", marker="o", markersize=4)
        for model, at in zip(TABLE_1, x):
            axis.annotate(model.size, (at, model.fid), (3, 3), textcoords="offset points", size=7)
        label_axes(axis, label, "FID, COCO-2014", title="paper, table 1", log="x", legend=False)
    return figure


FIGURES: Mapping[str, tuple[str, Callable[..., Figure | None]]] = {
    "training": ("Quality against training compute (figure 3)", training),
    "guidance": ("Guidance, and the best scale by size and steps (figure 8)", guidance),
    "cost": ("Quality against sampling cost, the winner of each budget marked (figure 9)", cost),
    "samplers": ("Samplers (figure 11)", samplers),
    "distilled": ("Distilled against undistilled (figure 13)", distilled),
    "stages": ("Staged distillation (figure 19)", stages),
    "students": ("Models and their students by steps and by evaluations", students),
    "laws": ("Fitted power laws", fitted),
}
"""By name: the heading, and the function that draws it."""
