"""A public scheduler's settings as levels and a solver of this library."""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import diffrax
import jax.numpy as jnp
import numpy as np

from ..noise import AbstractSchedule
from ..noise.grids import check_levels, Levels
from ..sampling.solvers import (
    Ancestral,
    Consistency,
    DDIM,
    PLMS,
    TCD,
)
from ..sampling.solvers.ddim_between import DDIMBetween
from ..sampling.solvers.exponential import far
from .scheduler_levels import (
    close,
    lcm_times,
    real_times,
    Settings,
    spaced,
    table,
    whole_times,
)


class Sampling(NamedTuple):
    """How a scheduler is sampled: `latent_scale * sample(denoiser, noise_scale * noise, ...)`."""

    levels: Levels
    """The noise levels."""
    solver: diffrax.AbstractSolver
    """The solver, with its options for these levels."""
    noise_scale: float = 1.0
    """Factor of the unit noise: some start from `s` times it, and not `sqrt(1 + s^2)` times."""
    latent_scale: float = 1.0
    """Factor of the last state: others take the noisy `x` at a last level above 0 as the latent."""


MakeSampling = Callable[[Settings, AbstractSchedule, int], Sampling]


def ddim(settings: Settings, schedule: AbstractSchedule, steps: int) -> Sampling:
    """DDIM. Where its steps do not stop at the levels of the grid, see `DDIMBetween`."""
    levels, times = table(schedule, capped=False), whole_times(settings, steps)
    starts, ends = levels[times], times - settings["num_train_timesteps"] // steps
    final = 0.0 if settings["set_alpha_to_one"] else levels[0]
    stops = np.where(ends >= 0, levels[np.maximum(ends, 0)], final)
    if np.array_equal(stops[:-1], starts[1:]) and stops[-1] < starts[-1]:
        return noisy_end(check_levels(np.append(starts, stops[-1])), DDIM())
    solver = DDIMBetween(jnp.asarray(starts), jnp.asarray(stops))
    return Sampling(check_levels(np.append(starts, 0.0)), solver)


def pndm(settings: Settings, schedule: AbstractSchedule, steps: int) -> Sampling:
    """PLMS. Its first step is Euler's if it is the only one."""
    sampling = ddim(settings, schedule, steps)
    if not isinstance(sampling.solver, DDIM):
        raise ValueError(
            f"With {steps} steps of the spacing {settings['timestep_spacing']!r} PNDMScheduler "
            "steps past the levels of its grid. Use a number of steps that divides "
            f"{settings['num_train_timesteps']} and the spacing 'leading'."
        )
    if steps == 1:
        return sampling
    is_velocity = settings["prediction_type"] == "v_prediction"
    return sampling._replace(solver=PLMS("v" if is_velocity else "eps"))


def ddpm(settings: Settings, schedule: AbstractSchedule, steps: int) -> Sampling:
    """DDPM with the posterior variance."""
    levels = table(schedule, capped=False)[whole_times(settings, steps)]
    return Sampling(check_levels(np.append(levels, 0.0)), Ancestral())


def by_level(solver: Callable[[], diffrax.AbstractSolver]) -> MakeSampling:
    """Euler, Heun and others that count in levels: these are linear between whole times."""

    def make(settings: Settings, schedule: AbstractSchedule, steps: int) -> Sampling:
        levels, times = table(schedule), real_times(settings, steps)
        starts = np.interp(times, np.arange(len(levels)), levels)
        final = levels[0] if settings.get("final_sigmas_type") == "sigma_min" else 0.0
        ends = starts[0], starts[-1]
        if settings.get("interpolation_type") == "log_linear":
            # One level more than steps, whatever the spacing. The last is where it ends.
            *starts, end = np.geomspace(levels[-1], levels[0], steps + 1)
            ends = levels[-1], levels[0]
            final = end if spaced(settings, *ends, steps) is None else final
        by_levels = spaced(settings, *ends, steps)
        starts = starts if by_levels is None else by_levels
        grid, _ = close(np.asarray(starts), final)
        known_factor = settings["timestep_spacing"] == "leading"
        return Sampling(grid, solver(), 1.0 if known_factor else _variance_exploding(grid[0]))

    return make


def near(solver: Callable[[], diffrax.AbstractSolver]) -> MakeSampling:
    """Heun's method and DPM-Solver-2, but for steps from far above the data.

    There ours are of order 1 and the public ones of order 2.
    """

    def make(settings: Settings, schedule: AbstractSchedule, steps: int) -> Sampling:
        sampling = by_level(solver)(settings, schedule, steps)
        ancestral = isinstance(sampling.solver, Ancestral)
        for s0, s1 in itertools.pairwise(sampling.levels):
            down = s1 * s1 / s0 if ancestral else s1
            if s1 > 0 and far(jnp.asarray(s0), jnp.asarray(down)):
                raise ValueError(
                    f"With {steps} steps this scheduler takes one of order 2 from the level "
                    f"{s0:.3g} to {s1:.3g}, far above the data, where it is of order 1 here. Use "
                    "more steps, another beta_schedule, or EulerDiscreteScheduler."
                )
        return sampling

    return make


def lcm(settings: Settings, schedule: AbstractSchedule, steps: int) -> Sampling:
    """Multistep consistency sampling, from levels of an LCM's times to level 0."""
    levels = table(schedule, capped=False)[lcm_times(settings, steps)]
    return Sampling(check_levels(np.append(levels, 0.0)), Consistency())


def tcd(settings: Settings, schedule: AbstractSchedule, steps: int) -> Sampling:
    """TCD with its eta of 0.3, from levels of an LCM's times to that of time 0."""
    levels = table(schedule, capped=False)
    grid, _ = close(levels[lcm_times(settings, steps)], levels[0])
    return noisy_end(grid, TCD(schedule))


def noisy_end(grid: Levels, solver: diffrax.AbstractSolver) -> Sampling:
    """Where the noisy `x` at a last level above 0 is taken for the latent."""
    return Sampling(grid, solver, latent_scale=float(1 / np.sqrt(1 + grid[-1] ** 2)))


def _variance_exploding(first: float) -> float:
    return float(first / np.sqrt(1 + first**2))
