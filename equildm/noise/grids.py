"""Grids: the noise levels that a sampler steps through.

A grid is a float64 numpy array of strictly decreasing levels `s_0 > s_1 > .. > s_N`: N steps. It
ends at `final`, by default 0 (clean). Pass a grid to a compiled sampler as an argument. `pad` gives
grids of different numbers of steps one shape, so that they share a compilation.

`leading`, `trailing` and `linspace` are the spacings of the public schedulers (Lin et al. 2023,
table 2). Those differ in whether time 0 belongs to the grid, hence `endpoint`: true as in the
public DDIM, DDPM and Euler schedulers, false as in the multistep ones (DPM-Solver++, UniPC), where
the final level takes the place of time 0.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from .schedules import AbstractSchedule

Levels: TypeAlias = Float[np.ndarray, "levels"]

FAR = 80.0
"""The highest level of EDM (Karras et al. 2022, table 1): unit data are lost in its noise."""

ALIGN_YOUR_STEPS = (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152)
"""Levels optimised for 10 steps of Stable Diffusion 1.5 (Sabour et al. 2024), for `table`."""


def leading(
    schedule: AbstractSchedule,
    steps: int,
    *,
    final: float = 0.0,
    offset: int = 1,
    endpoint: bool = True,
) -> Levels:
    """Times `offset + i * (T // steps)`, those of Stable Diffusion (with offset 1).

    It starts below the schedule's highest level. The offset is reduced where it would leave the
    table.
    """
    _check_steps(schedule, steps)
    first = 0 if endpoint else 1
    times = np.arange(first, steps + first)[::-1] * max(schedule.steps // (steps + first), 1)
    return _close(schedule, times + min(offset, schedule.steps - 1 - times[0]), final)


def trailing(schedule: AbstractSchedule, steps: int, *, final: float = 0.0) -> Levels:
    """Times `T - i * T / steps - 1`, from the highest level on, as Lin et al. 2023 recommend."""
    _check_steps(schedule, steps)
    times = np.round(schedule.steps - np.arange(steps) * (schedule.steps / steps)) - 1
    return _close(schedule, times, final)


def linspace(
    schedule: AbstractSchedule,
    steps: int,
    *,
    final: float = 0.0,
    endpoint: bool = True,
    rounded: bool = True,
) -> Levels:
    """Times evenly spaced from T - 1 to 0, rounded to integers or not (not in the public Euler)."""
    _check_steps(schedule, steps)
    times = np.linspace(schedule.steps - 1, 0, steps if endpoint else steps + 1)[:steps]
    return _close(schedule, np.round(times) if rounded else times, final)


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
    """
    beyond = int(high is None and schedule.highest > FAR and _at_least_one(steps) > 2)
    top, low = _range(schedule, high, low)
    levels = between(FAR if beyond else top, low, _at_least_one(steps) - beyond, rho)
    return _append(np.append([top] * beyond, levels), final)


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
    high, low = _range(schedule, high, low)
    levels = np.exp(np.linspace(np.log(high), np.log(low), _at_least_one(steps)))
    return _append(levels, final)


def uniform_lambda(
    schedule: AbstractSchedule,
    steps: int,
    *,
    high: float | None = None,
    low: float | None = None,
) -> Levels:
    """Steps of equal length in `lambda = -log s` that end at `low`, not at 0 (Lu et al. 2022)."""
    high, low = _range(schedule, high, low)
    return check_levels(np.exp(np.linspace(np.log(high), np.log(low), _at_least_one(steps) + 1)))


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
        positions = np.linspace(0, len(levels) - 1, _at_least_one(steps))
        levels = np.exp(np.interp(positions, np.arange(len(levels)), np.log(levels)))
    return _append(levels, final)


def pad(levels: Levels, length: int) -> Float[np.ndarray, "length"]:
    """Repeats the last level up to `length` levels. Samplers stop when they first reach it."""
    if length < len(levels):
        raise ValueError(
            f"Padding cannot shorten, received {len(levels)} levels and the length {length}. "
            f"Use a length of at least {len(levels)}."
        )
    return np.append(levels, np.full(length - len(levels), levels[-1]))


def check_levels(levels: Levels) -> Levels:
    """Returns a grid unchanged. **Raises** `ValueError` for levels that are no grid."""
    if levels.ndim != 1 or len(levels) < 2:
        raise ValueError(
            f"A grid is a vector of at least 2 noise levels, received the shape {levels.shape}. "
            "One step from s to clean is [s, 0]."
        )
    if not np.all(np.isfinite(levels)) or levels[-1] < 0:
        raise ValueError(
            f"Noise levels are finite and not negative, received {levels}. "
            "For no signal at all use INFINITE_LEVEL."
        )
    if not np.all(np.diff(levels) < 0):
        raise ValueError(
            f"Noise levels decrease strictly, received {levels}. "
            "Use fewer steps or a lower final level."
        )
    return levels


def _check_steps(schedule: AbstractSchedule, steps: int) -> None:
    if not 1 <= steps <= schedule.steps:
        raise ValueError(
            f"This grid has from 1 to {schedule.steps} steps, one for each time, received {steps}. "
            "Karras and exponential grids have no upper bound."
        )


def _at_least_one(steps: int) -> int:
    if steps < 1:
        raise ValueError(f"A grid has at least 1 step, received {steps}. Use 1 or more.")
    return steps


def _range(
    schedule: AbstractSchedule, high: float | None, low: float | None
) -> tuple[float, float]:
    high, low = schedule.highest if high is None else high, schedule.lowest if low is None else low
    if not 0 < low < high < np.inf:
        raise ValueError(
            f"Levels need 0 < low < high < inf, received low = {low}, high = {high}. Leave them "
            "out for the schedule's own."
        )
    return high, low


def _close(schedule: AbstractSchedule, times: np.ndarray, final: float) -> Levels:
    return _append(schedule.levels_at(times.astype(np.float64)), final)


def _append(levels: np.ndarray, final: float) -> Levels:
    reached = len(levels) > 1 and np.isclose(levels[-1], final, rtol=1e-9, atol=0)
    return check_levels(levels if reached else np.append(levels, final))
