"""A comparison of samplers, as a table, as a figure, and as latents to decode."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator
from rich.table import Table

from ..sampling import problem_of, SamplerComparison
from ..sampling.evaluations import Grid
from .drawing import distinct_styles
from .evaluations import evaluations_within


def error_table(comparison: SamplerComparison, evaluations: Sequence[int]) -> Table:
    """A row for each solver, a column for each number of network evaluations that it may make."""
    title = "Error within a number of network evaluations"
    table = Table("solver", *map(str, evaluations), title=title)
    for solver, row in comparison.errors.items():
        table.add_row(solver, *(f"{row[n]:.2g}" if n in row else "-" for n in evaluations))
    return table


def first_latents(
    comparison: SamplerComparison, evaluations: Sequence[int]
) -> tuple[Float[Array, "cells height width channels"], list[str]]:
    """The first sample of each solver at each number of network evaluations, for a grid of images.

    **Returns:** the latents, row by row as in `error_table`, and a label for each. They are 0, with
    an empty label, where the evaluations pay for no step.
    """
    latents, labels = [], []
    for solver, row in comparison.latents.items():
        for number in evaluations:
            latents.append(row[number][0] if number in row else None)
            labels.append(f"{solver} {number}" if number in row else "")
    blank = jnp.zeros_like(next(latent for latent in latents if latent is not None))
    return jnp.stack([blank if latent is None else latent for latent in latents]), labels


def error_figure(comparison: SamplerComparison, grid: Grid | None = None) -> Figure:
    """Errors over the evaluations that each solver made; a dashed line for a stochastic solver.

    `grid` is that of the comparison, see `evaluations_in`.
    """
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    axes = figure.subplots()
    styles = distinct_styles(len(comparison.errors))
    for (solver, row), style in zip(comparison.errors.items(), styles):
        style |= {"linestyle": "-" if problem_of(solver) == "flow" else "--", "label": solver}
        counts = list(evaluations_within(solver, list(row), grid).values())
        axes.loglog(counts, list(row.values()), **style)
    ticks = sorted({number for row in comparison.errors.values() for number in row})
    axes.set_xticks(ticks, list(map(str, ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="network evaluations", ylabel="distance to the fine solution / spread")
    axes.set_title("Error by network evaluations (dashed: stochastic)", fontsize="medium")
    axes.grid(alpha=0.3, which="both")
    axes.legend(ncols=2, fontsize="small")
    return figure
