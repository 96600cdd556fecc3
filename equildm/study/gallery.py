"""Pictures of a study: sizes at equal cost, and guidance weights side by side."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import UInt8

from ..runtime import picture_grid
from .compare import mean_over_seeds
from .cost import Counting
from .frontier import best, by, common_budgets, newest
from .table import Row

Grid = UInt8[np.ndarray, "height width 3"]
Shown = Callable[[Row], UInt8[np.ndarray, "pictures side side 3"] | None]
"""The first pictures of a row; None where they were not kept."""


def equal_cost(rows: Sequence[Row], shown: Shown, counting: Counting = "once") -> Grid | None:
    """Figure 10: what each size makes for the same cost, at its best sampler and guidance.

    A column for each size, small to large, a row for each caption; at the budget in the middle of
    those that all sizes can pay.
    """
    plain = [row for row in newest(mean_over_seeds(rows)) if not row.method]
    widths = by(sorted(plain, key=lambda row: row.width), lambda row: row.width)
    if not widths:
        return None
    dearest = max(min(r.sampling_cost(counting) for r in group) for group in widths.values())
    budgets = [b for b in common_budgets(plain, counting=counting) if b >= dearest * (1 - 1e-9)]
    budget = budgets[len(budgets) // 2] if budgets else dearest
    columns = [
        best(r for r in group if r.sampling_cost(counting) <= budget * (1 + 1e-9))
        for group in widths.values()
    ]
    labels = [
        f"c = {row.width}, {row.steps} steps {row.sampler}, w {row.guidance:g}" for row in columns
    ]
    return _grid(columns, labels, shown)


def guidance_strips(rows: Sequence[Row], shown: Shown) -> Grid | None:
    """Figure 7: the smallest and the largest size under all guidance weights, most steps of the
    sampler that most is known of."""
    plain = [row for row in newest(mean_over_seeds(rows)) if not row.method]
    if not plain:
        return None
    samplers = by(plain, lambda row: row.sampler)
    sampler = max(samplers, key=lambda name: (len(samplers[name]), name == "ddim"))
    widths = by(samplers[sampler], lambda row: row.width)
    strips = []
    for width in sorted({min(widths), max(widths)}):
        steps = max(row.steps for row in widths[width])
        group = [row for row in widths[width] if row.steps == steps]
        group = sorted(group, key=lambda row: row.guidance)
        labels = [f"c = {width}, w {row.guidance:g}" for row in group]
        strips.append(_grid(group, labels, shown, captions=1))
    found = [strip for strip in strips if strip is not None]
    if not found:
        return None
    wide = max(strip.shape[1] for strip in found)
    padded = [
        np.pad(s, ((0, 0), (0, wide - s.shape[1]), (0, 0)), constant_values=255) for s in found
    ]
    return np.concatenate(padded)


def _grid(
    columns: Sequence[Row], labels: Sequence[str], shown: Shown, captions: int = 6
) -> Grid | None:
    found = [shown(row) for row in columns]
    sets = [images for images in found if images is not None]
    if len(sets) != len(columns) or not sets:
        return None
    count = min(captions, *(len(images) for images in sets))
    images = np.stack([images[i] for i in range(count) for images in sets])
    return picture_grid(images, list(labels) * count, columns=len(columns))
