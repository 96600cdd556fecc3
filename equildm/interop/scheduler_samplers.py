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
    DPMpp2M,
    DPMpp3M,
    Heun,
    PLMS,
    SDEDPMpp2M,
    UniPC,
)
from ..sampling.solvers.ddim_between import DDIMBetween
from ..sampling.solvers.dpm_2s_grid import DPMpp2SOnGrid
from ..sampling.solvers.exponential import far
from .scheduler_levels import close, inner_times, karras, real_times, Settings, table, whole_times


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
        return _noisy_end(check_levels(np.append(starts, stops[-1])), DDIM())
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
    return sampling if steps == 1 else sampling._replace(solver=PLMS())


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
        if settings.get("interpolation_type") == "log_linear":
            # One level more than steps, whatever the spacing. The last is where it ends.
            *starts, final = np.geomspace(levels[-1], levels[0], steps + 1)
            if settings["use_karras_sigmas"]:
                final = levels[0] if settings["final_sigmas_type"] == "sigma_min" else 0.0
                starts = karras(settings, levels[-1], levels[0], steps)
        elif settings.get("use_karras_sigmas"):
            starts = karras(settings, starts[0], starts[-1], steps)
        grid, _ = close(np.asarray(starts), final)
        known_factor = settings["timestep_spacing"] == "leading"
        return Sampling(grid, solver(), 1.0 if known_factor else _variance_exploding(grid[0]))

    return make


def heun(settings: Settings, schedule: AbstractSchedule, steps: int) -> Sampling:
    """Heun's method, but for steps that the public one takes in order 2 and ours in order 1."""
    sampling = by_level(Heun)(settings, schedule, steps)
    for s0, s1 in itertools.pairwise(sampling.levels):
        if s1 > 0 and far(jnp.asarray(s0), jnp.asarray(s1)):
            raise ValueError(
                f"With {steps} steps HeunDiscreteScheduler takes one of order 2 from the level "
                f"{s0:.3g} to {s1:.3g}, far above the data, where it is of order 1 here. Use more "
                "steps, another beta_schedule, or EulerDiscreteScheduler."
            )
    return sampling


def dpm_multistep(settings: Settings, schedule: AbstractSchedule, steps: int) -> Sampling:
    """DPM-Solver++ of order 1, 2 or 3, and SDE-DPM-Solver++ of order 1 or 2."""
    starts, final = _inner(settings, schedule, steps)
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
    return _noisy_end(grid, solvers[dpm_name(settings)]())


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
        return _noisy_end(grid, DDIM())
    clean = settings["final_sigmas_type"] == "zero"
    second = np.arange(steps) % 2 == 1
    # An even number of steps pairs up to the last, unless that one is to be of order 1.
    second[-1] &= not (clean or settings["lower_order_final"])
    return _noisy_end(grid, DPMpp2SOnGrid(jnp.asarray(second)))


def unipc(settings: Settings, schedule: AbstractSchedule, steps: int) -> Sampling:
    """UniPC of order 2 or 3."""
    starts, final = _inner(settings, schedule, steps)
    grid = check_levels(np.append(starts, final))
    lowered = settings["lower_order_final"]
    ends = (jnp.asarray(grid[-1 - i] if lowered else 0.0) for i in range(2))
    return _noisy_end(grid, UniPC(settings["solver_order"], *ends))


def lcm(settings: Settings, schedule: AbstractSchedule, steps: int) -> Sampling:
    """Levels of evenly spaced ones among the times that an LCM is trained on (Luo 2023)."""
    original, train = settings["original_inference_steps"], settings["num_train_timesteps"]
    if not 1 <= steps <= original:
        raise ValueError(
            f"An LCM is sampled in 1 to {original} steps, received {steps}. Use 4 steps, or change "
            "original_inference_steps."
        )
    times = np.arange(original, 0, -1) * (train // original) - 1
    indices = np.floor(np.linspace(0, original, steps, endpoint=False)).astype(int)
    levels = table(schedule, capped=False)[times[indices]]
    return Sampling(check_levels(np.append(levels, 0.0)), Consistency())


def _inner(settings: Settings, schedule: AbstractSchedule, steps: int) -> tuple[Levels, float]:
    """The levels at which the multistep and singlestep schedulers start steps, and the last."""
    levels = table(schedule)
    starts = levels[inner_times(settings, levels, steps)]
    if settings["use_karras_sigmas"]:  # of the whole schedule, unlike in Euler and Heun
        starts = karras(settings, levels[-1], levels[0], steps)
    return starts, levels[0] if settings["final_sigmas_type"] == "sigma_min" else 0.0


def _noisy_end(grid: Levels, solver: diffrax.AbstractSolver) -> Sampling:
    return Sampling(grid, solver, latent_scale=float(1 / np.sqrt(1 + grid[-1] ** 2)))


def _variance_exploding(first: float) -> float:
    return float(first / np.sqrt(1 + first**2))
