"""Grids by level: spaced between a highest and a lowest one, or read from a table."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ..schedules import AbstractSchedule
from .check import append_final, at_least_one, check_levels, Levels

FAR = 80.0
"""The highest level of EDM (Karras et al. 2022, table 1): unit data are lost in its noise."""

ALIGN_YOUR_STEPS = (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152)
"""Levels optimised for 10 steps of Stable Diffusion 1.5 (Sabour et al. 2024), for `table`."""

ALIGN_YOUR_STEPS_XL = (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.38, 0.234, 0.113)
"""The same for Stable Diffusion XL."""

ALIGN_YOUR_STEPS_VIDEO = (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034)
"""The same for Stable Video Diffusion."""


def karras(
    schedule: AbstractSchedule,
    steps: int,
    *,
    rho: float = 7.0,
    high: float | None = None,
    low: float | None = None,
    final: float = 0.0,
) -> Levels:
    """`s^(1/rho)` evenly spaced from `high` to `low`, then `final` (Karras et al. 2022, eq. 5).

    `high` and `low` are the schedule's ends by default. Where that reaches beyond `FAR`, the first
    step leads there, and the others are spaced from there on: above it there is nothing to see.
    This holds for all grids by level.
    """
    first, top, low = _ends(schedule, steps, high, low)
    levels = between(top, low, at_least_one(steps) - len(first), rho)
    return append_final(np.append(first, levels), final)


def between(high: float, low: float, count: int, rho: float = 7.0) -> Float[np.ndarray, "count"]:
    """So many levels from `high` to `low`, with `s^(1/rho)` evenly spaced."""
    return np.linspace(high ** (1 / rho), low ** (1 / rho), count) ** rho


def exponential(
    schedule: AbstractSchedule,
    steps: int,
    *,
    high: float | None = None,
    low: float | None = None,
    final: float = 0.0,
) -> Levels:
    """`log s` evenly spaced from `high` to `low`, then `final`."""
    return polyexponential(schedule, steps, high=high, low=low, final=final)


def polyexponential(
    schedule: AbstractSchedule,
    steps: int,
    *,
    rho: float = 1.0,
    high: float | None = None,
    low: float | None = None,
    final: float = 0.0,
) -> Levels:
    """`log s = log low + r^rho log(high / low)`, `r` evenly spaced from 1 to 0 (k-diffusion).

    `rho = 1` is `exponential`; above 1, more steps are at low noise.

    **Raises** `ValueError` for a rho that is not positive.
    """
    if not 0 < rho < np.inf:
        raise ValueError(f"rho is a positive number, received {rho}. Use 1.")
    first, top, low = _ends(schedule, steps, high, low)
    ramp = np.linspace(1, 0, at_least_one(steps) - len(first)) ** rho
    return append_final(np.append(first, low * (top / low) ** ramp), final)


def uniform_lambda(
    schedule: AbstractSchedule,
    steps: int,
    *,
    high: float | None = None,
    low: float | None = None,
) -> Levels:
    """Steps of equal length in `lambda = -log s` that end at `low`, not at 0 (Lu et al. 2022)."""
    first, top, low = _ends(schedule, steps, high, low)
    return check_levels(
        np.append(first, np.geomspace(top, low, at_least_one(steps) + 1 - len(first)))
    )


def table(
    levels: Sequence[float] | Float[np.ndarray, "entries"],
    steps: int | None = None,
    *,
    final: float = 0.0,
) -> Levels:
    """A table of positive levels, then `final`: for instance `table(ALIGN_YOUR_STEPS, 20)`.

    With `steps`, the table is resampled to that many levels, linearly in `log s` (Sabour et al.
    2024, appendix).
    """
    levels = check_levels(np.asarray(levels, np.float64))
    if levels[-1] <= 0:
        raise ValueError(
            f"A table holds positive levels, received {levels}. Leave the 0 out: `final` adds it."
        )
    if steps is not None:
        positions = np.linspace(0, len(levels) - 1, at_least_one(steps))
        levels = np.exp(np.interp(positions, np.arange(len(levels)), np.log(levels)))
    return append_final(levels, final)


def _ends(
    schedule: AbstractSchedule, steps: int, high: float | None, low: float | None
) -> tuple[list[float], float, float]:
    """The first level, if it lies alone beyond `FAR`, and the ends of the spacing."""
    top, low = schedule.highest if high is None else high, schedule.lowest if low is None else low
    if not 0 < low < top < np.inf:
        raise ValueError(
            f"Levels need 0 < low < high < inf, received low = {low}, high = {top}. Leave them "
            "out for the schedule's own."
        )
    if high is None and top > FAR and steps > 2:
        return [top], FAR, low
    return [], top, low
