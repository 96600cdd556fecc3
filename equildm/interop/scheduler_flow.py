"""The public schedulers of flow matching and of EDM as levels and a solver of this library."""

import math

import numpy as np
from jaxtyping import Float

from ..noise import AbstractSchedule, INFINITE_LEVEL
from ..noise.grids import between, check_levels
from ..sampling.solvers import Consistency, DDIM, FlowHeun
from .scheduler_levels import close, Settings, spaced
from .scheduler_multistep import multistep_solver
from .scheduler_samplers import Sampling

Shares = Float[np.ndarray, "starts"]
"""`u = s / (1 + s)`, the share of noise in `x`, which the public schedulers call sigma."""


def flow_euler(settings: Settings, schedule: AbstractSchedule, steps: int) -> Sampling:
    """Euler's method in `u`, which is DDIM; with fresh noise in each step, consistency sampling."""
    shift = None if settings["use_dynamic_shifting"] else settings["shift"]
    u = _spaced_shares(settings, steps, 1.0 if shift is None else shift)
    u = shifted(u, dynamic_shift(settings) if shift is None else shift)
    if settings["shift_terminal"]:
        _check_terminal(settings, u)
        u = 1 - (1 - u) * (1 - settings["shift_terminal"]) / (1 - u[-1])
    by_levels = spaced(settings, u[0], u[-1], steps)
    u = u if by_levels is None else np.asarray(by_levels)
    return Sampling(_levels(u), Consistency() if settings["stochastic_sampling"] else DDIM())


def flow_heun(settings: Settings, schedule: AbstractSchedule, steps: int) -> Sampling:
    """Heun's method in `u`."""
    u = shifted(_spaced_shares(settings, steps, settings["shift"]), settings["shift"])
    return Sampling(_levels(u), FlowHeun())


def dynamic_shift(settings: Settings) -> float:
    """The shift for an image of `image_tokens`: linear in their number, or its exponential.

    **Raises** `ValueError` where nobody tells how many these are.
    """
    tokens = settings.get("image_tokens")
    if tokens is None:
        raise ValueError(
            "use_dynamic_shifting is True, and the shift follows from the size of the image. Give "
            "the number of patches, `scheduler.sampling(steps, image_tokens=...)`, or a model."
        )
    ends = settings["base_image_seq_len"], settings["max_image_seq_len"]
    slope = (settings["max_shift"] - settings["base_shift"]) / (ends[1] - ends[0])
    mu = settings["base_shift"] + slope * (tokens - ends[0])
    return mu if settings["time_shift_type"] == "linear" else math.exp(mu)


def shifted(u: Shares, shift: float) -> Shares:
    """Esser et al. 2024, equation 23."""
    return shift * u / (1 + (shift - 1) * u)


def edm_euler(settings: Settings, schedule: AbstractSchedule, steps: int) -> Sampling:
    """Euler's method in the level, which is DDIM."""
    starts = _edm_starts(settings, steps)
    grid, _ = close(starts, starts[-1] if settings["final_sigmas_type"] == "sigma_min" else 0.0)
    return Sampling(grid, DDIM())


def edm_multistep(settings: Settings, schedule: AbstractSchedule, steps: int) -> Sampling:
    """DPM-Solver++ of order 1, 2 or 3, and SDE-DPM-Solver++ of order 1 or 2."""
    starts = _edm_starts(settings, steps)
    final = settings["sigma_min"] if settings["final_sigmas_type"] == "sigma_min" else 0.0
    return Sampling(*multistep_solver(settings, starts, final))


def _spaced_shares(settings: Settings, steps: int, shift: float) -> Shares:
    """Evenly from all noise to the lowest, which is shifted: it will be shifted once more."""
    if steps < 1:
        raise ValueError(f"This scheduler has at least 1 step, received {steps}. Use 28.")
    lowest = shifted(np.array([1 / settings["num_train_timesteps"]]), shift)
    return np.linspace(1, lowest[0], steps)


def _levels(u: Shares) -> Float[np.ndarray, "levels"]:
    with np.errstate(divide="ignore"):
        levels = np.minimum(u / (1 - u), INFINITE_LEVEL)
    return check_levels(np.append(levels, 0.0))


def _check_terminal(settings: Settings, u: Shares) -> None:
    if len(u) == 1:
        raise ValueError(
            f"shift_terminal is {settings['shift_terminal']}, where the last step starts, and the "
            "only step starts from noise. Use at least 2 steps."
        )


def _edm_starts(settings: Settings, steps: int) -> Float[np.ndarray, "starts"]:
    if steps < 1:
        raise ValueError(f"This scheduler has at least 1 step, received {steps}. Use 18.")
    high, low = settings["sigma_max"], settings["sigma_min"]
    if settings["sigma_schedule"] == "karras":
        return between(high, low, steps, settings["rho"])
    if steps == 1:
        raise ValueError(
            "The public sigma_schedule 'exponential' of one step starts from its lowest level. Use "
            "at least 2 steps."
        )
    return np.geomspace(high, low, steps)
