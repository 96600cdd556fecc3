"""Grids by time: the levels of a schedule at spaced times."""

import numpy as np

from ..schedules import AbstractSchedule
from .check import append_final, at_least_one, Levels


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


def shifted(
    schedule: AbstractSchedule, steps: int, *, shift: float = 3.0, final: float = 0.0
) -> Levels:
    """Times `T u' - 1` with `u' = shift u / (1 + (shift - 1) u)`, for `u` evenly spaced from 1 on.

    The shift of Esser et al. 2024 (equation 23), which spends more steps on high noise, as large
    images ask for. With `shift = 1` it is `trailing`, but for the rounding of times.

    **Raises** `ValueError` for a shift that is not positive.
    """
    if not 0 < shift < np.inf:
        raise ValueError(f"A shift is a positive number, received {shift}. Use 3.")
    u = np.linspace(1, 0, at_least_one(steps), endpoint=False)
    times = schedule.steps * shift * u / (1 + (shift - 1) * u) - 1
    return _close(schedule, np.maximum(times, 0), final)


def beta(
    schedule: AbstractSchedule,
    steps: int,
    *,
    a: float = 0.6,
    b: float = 0.6,
    final: float = 0.0,
) -> Levels:
    """Times at the quantiles of a beta distribution (Lee et al. 2024, section 4).

    Below 1, `a` puts more steps at the end of sampling and `b` more at its beginning. The public
    `use_beta_sigmas` takes the quantiles between the levels instead of the times.

    **Raises** `ValueError` for parameters that are not positive.
    """
    from scipy import special  # here: its import takes a quarter of a second

    if not (0 < a < np.inf and 0 < b < np.inf):
        raise ValueError(f"A beta distribution has positive parameters, received {a} and {b}.")
    quantiles = np.linspace(1, 0, at_least_one(steps), endpoint=False)
    return _close(schedule, (schedule.steps - 1) * special.betaincinv(a, b, quantiles), final)


def _check_steps(schedule: AbstractSchedule, steps: int) -> None:
    if not 1 <= steps <= schedule.steps:
        raise ValueError(
            f"This grid has from 1 to {schedule.steps} steps, one for each time, received {steps}. "
            "Karras and exponential grids have no upper bound."
        )


def _close(schedule: AbstractSchedule, times: np.ndarray, final: float) -> Levels:
    return append_final(schedule.levels_at(times.astype(np.float64)), final)
