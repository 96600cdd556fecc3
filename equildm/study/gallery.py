"""Images of a study: sizes at equal cost, guidance scales, and students side by side."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import UInt8

from ..images import image_grid
from .compare import mean_over_seeds
from .frontier import best, by, common_budgets, newest, ROUNDING
from .price import OWN_COST, Price
from .students import main_sampler, student_curves
from .table import in_steps, Row

Grid = UInt8[np.ndarray, "height width 3"]
ImagesOf = Callable[[Row], UInt8[np.ndarray, "images side side 3"] | None]
"""The first images of a row; None where they were not saved."""


def equal_cost(
    rows: Sequence[Row],
    images_of: ImagesOf,
    price: Price = OWN_COST,
    captions: Sequence[str] = (),
) -> Grid | None:
    """Figure 10: what each size makes for the same cost, at its best sampler and guidance scale.

    There is a column for each size, by its operations, and a row for each caption. The budget is
    the middle one of those that all sizes can pay. `captions` stand beside their images.
    """
    plain = [row for row in newest(mean_over_seeds(rows)) if not row.method]
    sizes = by(sorted(plain, key=lambda row: row.gflops), lambda row: row.size)
    if not sizes:
        return None
    dearest = max(min(price(r) for r in group) for group in sizes.values())
    budgets = [b for b in common_budgets(plain, price=price) if b >= dearest * (1 - ROUNDING)]
    budget = budgets[len(budgets) // 2] if budgets else dearest
    columns = [
        best(r for r in group if price(r) <= budget * (1 + ROUNDING)) for group in sizes.values()
    ]
    labels = [
        f"{row.size}, {row.steps} steps {row.sampler}, guidance {row.guidance:g}" for row in columns
    ]
    return _columns(columns, labels, images_of, captions)


def guidance_strips(
    rows: Sequence[Row], images_of: ImagesOf, captions: Sequence[str] = ()
) -> Grid | None:
    """Figure 7: the smallest and the largest size with all guidance scales.

    They are sampled by the main sampler in its most steps.
    """
    plain = [row for row in newest(mean_over_seeds(rows)) if not row.method]
    if not plain:
        return None
    sampler = main_sampler(plain)
    plain = sorted((r for r in plain if r.sampler == sampler), key=lambda row: row.gflops)
    sizes = by(plain, lambda row: row.size)
    strips = []
    for size in dict.fromkeys((plain[0].size, plain[-1].size)):
        steps = max(row.steps for row in sizes[size])
        group = [row for row in sizes[size] if row.steps == steps]
        group = sorted(group, key=lambda row: row.guidance)
        labels = [f"{size}, guidance {row.guidance:g}" for row in group]
        strip = _columns(group, labels, images_of, captions, most=1)
        if strip is not None:
            strips.append(strip)
    if not strips:
        return None
    wide = max(strip.shape[1] for strip in strips)
    padded = [
        np.pad(s, ((0, 0), (0, wide - s.shape[1]), (0, 0)), constant_values=255) for s in strips
    ]
    return np.concatenate(padded)


def student_panel(rows: Sequence[Row], images_of: ImagesOf) -> Grid | None:
    """The largest size that was distilled: one caption by its model and its students.

    There is a row for each of them and a column for each number of steps, at the best guidance
    scales. What was not sampled is left white.
    """
    curves = student_curves(rows)
    if not curves:
        return None
    names = max(curves.values(), key=lambda group: next(iter(group.values()))[0].gflops)
    steps = sorted({row.steps for curve in names.values() for row in curve})
    cells: list[np.ndarray | None] = []
    labels: list[str] = []
    for name, curve in names.items():
        rows_of = {row.steps: row for row in curve}
        for number in steps:
            row = rows_of.get(number)
            images = None if row is None else images_of(row)
            cells.append(None if images is None else images[0])
            labels.append("" if images is None else f"{in_steps(number)}, {name}")
    known = [cell for cell in cells if cell is not None]
    if not known:
        return None
    white = np.full_like(known[0], 255)
    pixels = np.stack([white if cell is None else cell for cell in cells])
    return image_grid(pixels, labels, columns=len(steps))


def _columns(
    columns: Sequence[Row],
    labels: Sequence[str],
    images_of: ImagesOf,
    captions: Sequence[str] = (),
    most: int = 6,
) -> Grid | None:
    """A column for each row of the table, a line for each caption; None if any has no images."""
    sets = [images for images in map(images_of, columns) if images is not None]
    if len(sets) != len(columns) or not sets:
        return None
    count = min(most, *(len(images) for images in sets))
    images = np.stack([images[i] for i in range(count) for images in sets])
    beside = captions[:count] if len(captions) >= count else None
    return image_grid(images, list(labels) * count, columns=len(columns), rows=beside)
