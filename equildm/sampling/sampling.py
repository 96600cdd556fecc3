"""Sampling: from noise to a latent."""

from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import Condition, Key
from .diffrax_types import LevyArea
from .solvers import AbstractFlowSolver, AbstractNoisySolver, DDIM
from .step_grid import StepGrid
from .terms import Denoiser, probability_flow, reverse_sde, StepNoise
from .time_variable import HalfLogSNR, Level, TimeVariable

Tensor = Float[Array, "*shape"]
Levels = Float[Array, "levels"] | Float[np.ndarray, "levels"]

_DDIM = DDIM()
_AT_THE_END = diffrax.SaveAt(t1=True)
_CHECKPOINTED = diffrax.RecursiveCheckpointAdjoint()
_OURS = (AbstractFlowSolver, AbstractNoisySolver)
_STOCHASTIC = (
    AbstractNoisySolver,
    diffrax.AbstractSRK,
    diffrax.EulerHeun,
    diffrax.ItoMilstein,
    diffrax.StratonovichMilstein,
)


def needs_key(solver: diffrax.AbstractSolver) -> bool:
    """Whether a solver is stochastic: then `sample` solves the reverse SDE, and takes a key."""
    return isinstance(solver, _STOCHASTIC)


def sample(
    denoiser: Denoiser,
    noise: Tensor,
    levels: Levels,
    solver: diffrax.AbstractSolver = _DDIM,
    *,
    condition: Condition = None,
    key: Key | None = None,
    **options: Any,
) -> Tensor:
    """One sample.

        levels = grids.trailing(schedule, 50)
        latent = sample(denoiser, noise, levels, DPMpp2M(), condition=text)

    For a batch, `jax.vmap` over `noise`, `condition` and `key`, but not over `levels`: with one
    grid for all, the loop is a plain loop. Solvers of this library step to a last level of 0. A
    solver of diffrax stops at the lowest level above 0; from there one evaluation of the denoiser
    leads to 0, as in the public samplers.

    **Arguments:**

    - `denoiser`: `(y, s, condition) -> clean estimate`, see `equildm.denoise.AbstractDenoiser`.
    - `noise`: unit noise of the shape of the latent: the noisy latent `x` at the first level.
    - `levels`: the noise levels to step through, see `equildm.noise.grids`. They may be traced, and
        padded by `grids.pad`, so that one compilation serves many grids.
    - `solver`: a solver of this library (by default `DDIM()`) or of diffrax.
    - `condition`: passed to the denoiser.
    - `key`: for stochastic solvers (see `needs_key`); others ignore it.
    - `options`: see `solve`.

    **Returns:** the state at the last level, on the scale of the data; at level 0, the latent.
    """
    y = from_noise(noise, levels)
    return sample_from(denoiser, y, levels, solver, condition=condition, key=key, **options)


def sample_from(
    denoiser: Denoiser,
    y: Tensor,
    levels: Levels,
    solver: diffrax.AbstractSolver = _DDIM,
    *,
    condition: Condition = None,
    key: Key | None = None,
    **options: Any,
) -> Tensor:
    """As `sample`, but from a state `y` at the first level instead of from pure noise.

    `latent + levels[0] * noise` is a latent noised to that level. Image to image starts there:

        rest = tail(levels, strength=0.6)
        sample_from(denoiser, latent + rest[0] * noise, rest, condition=text)
    """
    solution = solve(denoiser, y, levels, solver, condition=condition, key=key, **options)
    assert solution.ys is not None
    y = solution.ys[-1]
    if isinstance(solver, _OURS):
        return y
    s = _positive(jnp.asarray(levels, y.dtype))[-1]
    return jax.lax.cond(levels[-1] == 0, lambda: denoiser(y, s, condition), lambda: y)


def solve(
    denoiser: Denoiser,
    y: Tensor,
    levels: Levels,
    solver: diffrax.AbstractSolver = _DDIM,
    *,
    condition: Condition = None,
    key: Key | None = None,
    path: diffrax.AbstractPath | None = None,
    time: TimeVariable | None = None,
    controller: diffrax.AbstractStepSizeController | None = None,
    saveat: diffrax.SaveAt = _AT_THE_END,
    adjoint: diffrax.AbstractAdjoint = _CHECKPOINTED,
    callback: Callable[[int], None] | None = None,
    max_steps: int = 4096,
    throw: bool = False,
) -> diffrax.Solution:
    """Solves the flow or the SDE from the first noise level to the last, by `diffrax.diffeqsolve`.

    **Arguments:** as in `sample`, and

    - `y`: the state at the first level, on the scale of the data (`x / alpha`).
    - `levels`: falling to sample, rising to invert. A solver of diffrax goes to the lowest level
        above 0 only, and cannot start from `INFINITE_LEVEL`.
    - `path`: the Brownian motion of a stochastic solver, over `time`. With a
        `diffrax.VirtualBrownianTree` many grids share one path. By default `StepNoise` of the key.
    - `time`: the variable that solvers of diffrax step in, by default `default_time(solver)`.
    - `controller`: an adaptive step size controller, for instance
        `diffrax.PIDController(rtol=1e-3, atol=1e-3)`, which takes only the two ends of `levels`. By
        default the steps are those of `levels`.
    - `saveat`: what to save; its times are in the units of `time`.
    - `adjoint`: how to differentiate. `RecursiveCheckpointAdjoint(checkpoints)` bounds the memory;
        `DirectAdjoint` and `ForwardMode` are for forward mode.
    - `callback`: called on the host after each step of the grid, with the number of steps taken.
    - `max_steps`: bound on the steps of an adaptive controller.
    - `throw`: raise if an adaptive solve fails. Fixed steps cannot fail.

    **Returns:** the `diffrax.Solution`.

    **Raises** `ValueError` for a stochastic solver without `key` or `path`, and for levels that do
    not fall or rise.
    """
    y = y.astype(jnp.promote_types(y.dtype, jnp.float32))
    _check(levels, solver, controller, callback, path)
    levels = jnp.asarray(levels, y.dtype)
    if time is None:
        time = default_time(solver)
    terms: Any = probability_flow(denoiser, time=time)
    if needs_key(solver):
        if path is None:
            if key is None:
                raise ValueError(
                    f"{type(solver).__name__} is stochastic and needs key=jax.random.key(seed). "
                    "For a deterministic sampler use DDIM(), DPMpp2M() or another flow solver."
                )
            path = StepNoise(y, key, levy_area(solver))
        terms = reverse_sde(denoiser, path, time=time)

    times = time.time(levels if isinstance(solver, _OURS) else _positive(levels))
    if controller is None:
        controller, max_steps = StepGrid(times, callback), len(times) - 1
    return diffrax.diffeqsolve(
        terms,
        solver,
        times[0],
        times[-1],
        None,
        y,
        condition,
        saveat=saveat,
        stepsize_controller=controller,
        adjoint=adjoint,
        max_steps=max_steps,
        throw=throw,
    )


def default_time(solver: diffrax.AbstractSolver) -> TimeVariable:
    """The variable that suits a solver: `HalfLogSNR()` for stochastic Runge-Kutta methods, which
    require additive noise that does not vanish, and `Level()` for others."""
    return HalfLogSNR() if isinstance(solver, diffrax.AbstractSRK) else Level()


def tail(levels: Float[np.ndarray, "levels"], strength: float) -> Float[np.ndarray, "rest"]:
    """The last share `strength` of a grid's steps, at least one step.

    For 50 steps and 0.6 these are the last 30, as in the public image-to-image pipelines.

    **Raises** `ValueError` for a strength outside of (0, 1].
    """
    if not 0 < strength <= 1:
        raise ValueError(
            f"Strength is a share of the steps in (0, 1], received {strength}. Use 0.6."
        )
    steps = max(1, int((len(levels) - 1) * strength))
    return levels[-steps - 1 :]


def from_noise(noise: Tensor, levels: Levels) -> Tensor:
    """The initial state: `y = x / alpha = sqrt(1 + s^2) x`, where `x` is pure noise."""
    noise = noise.astype(jnp.promote_types(noise.dtype, jnp.float32))
    return noise * jnp.sqrt(1 + jnp.asarray(levels[0], noise.dtype) ** 2)


def levy_area(solver: diffrax.AbstractSolver) -> LevyArea:
    """The simplest Levy area that a stochastic solver takes; ours take increments only."""
    areas = (
        diffrax.BrownianIncrement,
        diffrax.SpaceTimeLevyArea,
        diffrax.SpaceTimeTimeLevyArea,
    )
    least = getattr(solver, "minimal_levy_area", diffrax.AbstractBrownianIncrement)
    return next(area for area in areas if issubclass(area, least))


def _positive(levels: Float[Array, "levels"]) -> Float[Array, "levels"]:
    """The grid with zeros replaced by its lowest level above 0."""
    return jnp.where(levels > 0, levels, jnp.min(jnp.where(levels > 0, levels, jnp.inf)))


def _check(
    levels: Levels,
    solver: diffrax.AbstractSolver,
    controller: diffrax.AbstractStepSizeController | None,
    callback: Callable[[int], None] | None,
    path: diffrax.AbstractPath | None,
) -> None:
    split = needs_key(solver) and path is None
    if controller is not None and (callback is not None or split):
        raise ValueError(
            "A controller of your own takes no callback, and in a stochastic solve a path that can "
            "be split: callback and default noise belong to the steps of the grid. Leave the "
            "callback out, and pass path=diffrax.VirtualBrownianTree(...)."
        )
    if isinstance(levels, np.ndarray):
        steps = np.diff(np.append(levels[levels != levels[-1]], levels[-1]))
        if levels.ndim != 1 or len(steps) < 1 or not (np.all(steps < 0) or np.all(steps > 0)):
            raise ValueError(
                "Noise levels fall strictly (rise, to invert), except that the last may be "
                f"repeated; received {levels}. `equildm.noise.grids` makes such grids."
            )
        if not np.all(np.isfinite(levels)) or np.min(levels) < 0 or levels[0] == 0:
            raise ValueError(
                f"Noise levels are finite, not negative, and start above 0; received {levels}. "
                "Use INFINITE_LEVEL for no signal, and invert from the lowest level of a schedule."
            )
