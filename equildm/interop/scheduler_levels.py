"""The noise levels that the public schedulers step through, with their rounding."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from ..noise import AbstractSchedule, ZeroTerminalSNR
from ..noise.grids import between, check_levels, Levels

Settings = Mapping[str, Any]
"""All fields of a public scheduler, those that its file leaves out by their defaults."""

SPACINGS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
"""Spacings of levels, of which a scheduler has one at most."""

CAPPED = float(np.sqrt(2.0**24 - 1))
"""The public schedulers that count in levels take this, `alpha^2 = 2^-24`, for no signal at all."""


def table(schedule: AbstractSchedule, *, capped: bool = True) -> Levels:
    """The levels at the times 0 .. T - 1, `capped` except in the public DDIM, DDPM and LCM."""
    levels = np.exp(-schedule.table())
    if capped and isinstance(schedule, ZeroTerminalSNR):
        levels[-1] = CAPPED
    return levels


def whole_times(settings: Settings, steps: int) -> Int[np.ndarray, "steps"]:
    """Times of the public DDIM and DDPM, falling, in whole numbers."""
    return _inside(settings, np.round(real_times(settings, steps)).astype(np.int64), steps)


def real_times(settings: Settings, steps: int) -> Float[np.ndarray, "steps"]:
    """Times of the public Euler and Heun, falling. A linspace is not rounded."""
    train, spacing = settings["num_train_timesteps"], settings["timestep_spacing"]
    _check_steps(train, steps)
    if spacing == "linspace":
        return np.linspace(0, train - 1, steps)[::-1]
    if spacing == "leading":
        return _inside(settings, np.arange(steps)[::-1] * (train // steps) + 1.0, steps)
    return _trailing(train, train, steps)


def inner_times(settings: Settings, levels: Levels, steps: int) -> Int[np.ndarray, "steps"]:
    """Times of the public multistep and singlestep schedulers, in whole numbers.

    They leave out time 0, and the times whose lambda is below `lambda_min_clipped`.
    """
    train, spacing = settings["num_train_timesteps"], settings["timestep_spacing"]
    _check_steps(train, steps)
    clip = settings.get("lambda_min_clipped", -np.inf)
    last = train - int(np.searchsorted(-np.log(levels[::-1]), clip))
    if spacing == "linspace":
        times = np.round(np.linspace(0, last - 1, steps + 1))[:0:-1]
    elif spacing == "leading":
        times = np.arange(1, steps + 1)[::-1] * (last // (steps + 1)) + 1.0
    else:
        times = _trailing(last, train, steps)
    return _inside(settings, times.astype(np.int64), steps)


def lcm_times(settings: Settings, steps: int) -> Int[np.ndarray, "steps"]:
    """Evenly spaced ones among the times that an LCM is trained on (Luo et al. 2023)."""
    original, train = settings["original_inference_steps"], settings["num_train_timesteps"]
    if not 1 <= steps <= original:
        raise ValueError(
            f"An LCM is sampled in 1 to {original} steps, received {steps}. Use 4 steps, or change "
            "original_inference_steps."
        )
    times = np.arange(original, 0, -1) * (train // original) - 1
    return times[np.floor(np.linspace(0, original, steps, endpoint=False)).astype(int)]


def spaced(settings: Settings, high: float, low: float, steps: int) -> Levels | None:
    """Levels between two ends, which the file may change, if it asks for a spacing of levels."""
    low = low if settings.get("sigma_min") is None else settings["sigma_min"]
    high = high if settings.get("sigma_max") is None else settings["sigma_max"]
    if settings.get("use_karras_sigmas"):
        return between(high, low, steps)
    if settings.get("use_exponential_sigmas"):
        return np.exp(np.linspace(np.log(high), np.log(low), steps))
    if settings.get("use_beta_sigmas"):
        quantiles = special.betaincinv(0.6, 0.6, 1 - np.linspace(0, 1, steps))
        return low + (high - low) * quantiles
    return None


def close(levels: Float[np.ndarray, "starts"], final: float) -> tuple[Levels, bool]:
    """The grid with its final level, and whether the public grid repeats it: a step of no length.

    **Raises** `ValueError` for levels that do not fall.
    """
    repeated = bool(np.isclose(levels[-1], final, rtol=1e-6, atol=0))
    return check_levels(levels if repeated else np.append(levels, final)), repeated


def _trailing(last: int, train: int, steps: int) -> Float[np.ndarray, "steps"]:
    times = np.round(np.arange(last, 0, -train / steps)) - 1
    if len(times) > steps:
        raise ValueError(
            f"The public trailing spacing of {train} times makes {len(times)} steps of {steps}, "
            f"the last of them before time 0. Use {steps - 1} or {steps + 1} steps."
        )
    return times


def _inside(settings: Settings, times: np.ndarray, steps: int) -> np.ndarray:
    train, spacing = settings["num_train_timesteps"], settings["timestep_spacing"]
    if times.max() >= train or np.any(np.diff(times) >= 0):
        raise ValueError(
            f"{steps} steps with the timestep_spacing {spacing!r} do not fit the {train} times of "
            "this scheduler: times would repeat or lie outside. Use fewer steps, or levels of "
            "equildm.noise.grids."
        )
    return times


def _check_steps(train: int, steps: int) -> None:
    if not 1 <= steps <= train:
        raise ValueError(
            f"This scheduler has from 1 to {train} steps, one for each time, received {steps}. "
            "Karras and exponential grids of equildm.noise.grids have no upper bound."
        )
