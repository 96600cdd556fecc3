"""The public multistep and singlestep schedulers as levels and a solver of this library."""

from collections.abc import Callable

import diffrax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..noise import AbstractSchedule
from ..noise.grids import check_levels, Levels
from ..sampling.solvers import (
    Ancestral,
    DDIM,
    DEIS,
    DPMpp2M,
    DPMpp3M,
    SDEDPMpp2M,
    UniPC,
)
from ..sampling.solvers.dpm_2s_grid import DPMpp2SOnGrid
from .scheduler_levels import close, inner_times, Settings, spaced, SPACINGS, table
from .scheduler_samplers import noisy_end, Sampling


def dpm_multistep(settings: Settings, schedule: AbstractSchedule, steps: int) -> Sampling:
    """DPM-Solver++ of order 1, 2 or 3, and SDE-DPM-Solver++ of order 1 or 2."""
    return noisy_end(*multistep_solver(settings, *_inner(settings, schedule, steps)))


def multistep_solver(
    settings: Settings, starts: Float[np.ndarray, "starts"], final: float
) -> tuple[Levels, diffrax.AbstractSolver]:
    """The grid of these steps, and the solver with the order of its last steps."""
    grid, repeated = close(starts, final)
    few = settings["lower_order_final"] and len(starts) < 15
    first = few or settings["euler_at_final"]
    # A step of no length counts as the last.
    first_to = jnp.asarray(grid[-1] if first and not repeated else 0.0)
    second_to = jnp.asarray(starts[-1] if few else 0.0)
    solvers: dict[str, Callable[[], diffrax.AbstractSolver]] = {
        "dpm++1": DDIM,
        "dpm++2m": lambda: DPMpp2M(first_to),
        "dpm++3m": lambda: DPMpp3M(True, first_to, second_to),
        "ddpm": Ancestral,
        "sde-dpm++2m": lambda: SDEDPMpp2M(first_to),
    }
    return grid, solvers[dpm_name(settings)]()


def dpm_name(settings: Settings) -> str:
    """Our name of the multistep sampler."""
    order = settings["solver_order"]
    if settings["algorithm_type"] == "sde-dpmsolver++":
        return {1: "ddpm", 2: "sde-dpm++2m"}[order]
    return {1: "dpm++1", 2: "dpm++2m", 3: "dpm++3m"}[order]


def dpm_singlestep(settings: Settings, schedule: AbstractSchedule, steps: int) -> Sampling:
    """DPM-Solver++ of order 1, or of order 2 by pairs of steps: each takes one evaluation."""
    starts, final = _inner({**settings, "timestep_spacing": "linspace"}, schedule, steps)
    grid = check_levels(np.append(starts, final))
    if settings["solver_order"] == 1:
        return noisy_end(grid, DDIM())
    clean = settings["final_sigmas_type"] == "zero"
    second = np.arange(steps) % 2 == 1
    # An even number of steps pairs up to the last, unless that one is to be of order 1.
    second[-1] &= not (clean or settings["lower_order_final"])
    return noisy_end(grid, DPMpp2SOnGrid(jnp.asarray(second)))


def deis(settings: Settings, schedule: AbstractSchedule, steps: int) -> Sampling:
    """DEIS of order 1, 2 or 3, to the level of time 0."""
    starts, final = _inner({**settings, "final_sigmas_type": "sigma_min"}, schedule, steps)
    if any(settings[name] for name in SPACINGS):
        final = starts[-1]  # a last step of no length
    grid, repeated = close(starts, final)
    few = settings["lower_order_final"] and len(starts) < 15
    first_to = jnp.asarray(grid[-1] if few and not repeated else 0.0)
    second_to = jnp.asarray(starts[-1] if few else 0.0)
    return noisy_end(grid, DEIS(settings["solver_order"], first_to, second_to))


def unipc(settings: Settings, schedule: AbstractSchedule, steps: int) -> Sampling:
    """UniPC of order 1, 2 or 3."""
    starts, final = _inner(settings, schedule, steps)
    grid = check_levels(np.append(starts, final))
    lowered = settings["lower_order_final"]
    first_to, second_to = (jnp.asarray(grid[-1 - i] if lowered else 0.0) for i in range(2))
    order, variant = settings["solver_order"], settings["solver_type"]
    return noisy_end(grid, UniPC(order, first_to, second_to, variant))


def _inner(settings: Settings, schedule: AbstractSchedule, steps: int) -> tuple[Levels, float]:
    """The levels at which the multistep and singlestep schedulers start steps, and the last."""
    levels = table(schedule)
    starts = levels[inner_times(settings, levels, steps)]
    # Of the whole schedule, unlike in Euler and Heun.
    by_levels = spaced(settings, levels[-1], levels[0], steps)
    starts = starts if by_levels is None else by_levels
    return starts, levels[0] if settings["final_sigmas_type"] == "sigma_min" else 0.0
