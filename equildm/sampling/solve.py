"""The flow or the SDE of a denoiser, solved by diffrax."""

from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import Condition, Key
from .diffrax_types import LevyArea
from .solvers import AbstractFlowSolver, AbstractNoisySolver, DDIM
from .solvers.exponential import decay, far
from .step_grid import StepGrid
from .terms import Denoiser, probability_flow, reverse_sde, StepNoise
from .time_variable import HalfLogSNR, Level, TimeVariable

Tensor = Float[Array, "*shape"]
Levels = Float[Array, "levels"] | Float[np.ndarray, "levels"]

OURS = (AbstractFlowSolver, AbstractNoisySolver)
"""Solvers that step to a level of 0. Those of diffrax stop at the lowest level above it."""

_DDIM = DDIM()
_AT_THE_END = diffrax.SaveAt(t1=True)
_CHECKPOINTED = diffrax.RecursiveCheckpointAdjoint()
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
    throw: bool | None = None,
    **options: Any,
) -> diffrax.Solution:
    """Solves the flow or the SDE from the first noise level to the last, by `diffrax.diffeqsolve`.

    **Arguments:** as in `sample`, and

    - `y`: the state at the first level, on the scale of the data (`x / alpha`).
    - `levels`: falling to sample, rising to invert. A solver of diffrax goes to the lowest level
        above 0 only. Its first step is DDIM's if it is from far above the data, where that is exact
        and Runge-Kutta methods are not.
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
    - `throw`: raise if the solve fails, by default where it can: with a controller, or an implicit
        solver. If it is false, the states of a solve that failed are NaN.
    - `options`: others of `diffrax.diffeqsolve`, such as `progress_meter` and `event`.

    **Returns:** the `diffrax.Solution`.

    **Raises** `ValueError` for a stochastic solver without `key` or `path`, for levels that do not
    fall or rise, and for rising ones with a stochastic solver.
    """
    y = y.astype(jnp.promote_types(y.dtype, jnp.float32))
    if not isinstance(levels, jax.core.Tracer):
        levels = np.asarray(levels, y.dtype)  # two may round to one
    _check(levels, solver, controller, callback, path)
    levels = jnp.asarray(levels, y.dtype)
    if time is None:
        time = default_time(solver)
    if not isinstance(solver, OURS):
        levels = _positive(levels)
        if controller is None and len(levels) > 2:
            y, levels = _first_step(denoiser, y, levels, condition)
    terms: Any = probability_flow(denoiser, time=time)
    if needs_key(solver):
        if path is None:
            if key is None:
                raise ValueError(
                    f"{type(solver).__name__} is stochastic and needs key=jax.random.key(seed). "
                    "For a deterministic sampler use DDIM(), DPMpp2M() or another flow solver."
                )
            path = StepNoise(y, key, time.time(levels), levy_area(solver))
        terms = reverse_sde(denoiser, path, time=time)

    times = time.time(levels)
    can_fail = controller is not None or isinstance(solver, diffrax.AbstractImplicitSolver)
    if controller is None:
        controller, max_steps = StepGrid(times, callback), len(times) - 1
    solution = diffrax.diffeqsolve(
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
        throw=can_fail if throw is None else throw,
        **options,
    )
    return _nan_if_failed(solution) if can_fail else solution


def _first_step(
    denoiser: Denoiser, y: Tensor, levels: Float[Array, "levels"], condition: Condition
) -> tuple[Tensor, Float[Array, "levels"]]:
    """The first step, if it is from far, and the grid from there on, as long as before."""
    s0, s1 = levels[0], levels[1]
    return jax.lax.cond(
        far(s0, s1),
        lambda: (decay(y, denoiser(y, s0, condition), s0, s1), jnp.append(levels[1:], levels[-1])),
        lambda: (y, levels),
    )


def _nan_if_failed(solution: diffrax.Solution) -> diffrax.Solution:
    success = solution.result == diffrax.RESULTS.successful
    states = jax.tree.map(lambda y: jnp.where(success, y, jnp.nan), solution.ys)
    return eqx.tree_at(lambda solution: solution.ys, solution, states)


def default_time(solver: diffrax.AbstractSolver) -> TimeVariable:
    """The variable that suits a solver: `HalfLogSNR()` for stochastic Runge-Kutta methods, which
    require additive noise that does not vanish, and `Level()` for others."""
    return HalfLogSNR() if isinstance(solver, diffrax.AbstractSRK) else Level()


def to_clean(denoiser: Denoiser, y: Tensor, levels: Levels, condition: Condition) -> Tensor:
    """The last step of solvers that stop above 0: the clean estimate, if the grid ends in 0."""
    levels = jnp.asarray(levels, y.dtype)
    last = _positive(levels)[-1]
    return jax.lax.cond(levels[-1] == 0, lambda: denoiser(y, last, condition), lambda: y)


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
    if not isinstance(levels, jax.core.Tracer):
        rises = check_grid(np.asarray(levels))
        if needs_key(solver) and rises:
            raise ValueError(
                f"{type(solver).__name__} adds noise and goes from high to low levels, received "
                f"rising ones, from {levels[0]} to {levels[-1]}. Invert with DDIM() or another "
                "flow solver."
            )


def check_grid(levels: Levels) -> bool:
    """Whether a grid rises, as for an inversion. **Raises** `ValueError` if it is none."""
    falls_or_rises = False
    if levels.ndim == 1 and len(levels) > 1:
        # A padded grid repeats its last level.
        repeated = max(int(np.argmax(levels[::-1] != levels[-1])) - 1, 0)
        steps = np.diff(levels[: len(levels) - repeated])
        falls_or_rises = bool(np.all(steps < 0) or np.all(steps > 0))
    if not falls_or_rises:
        raise ValueError(
            "Noise levels fall strictly (rise, to invert), except that the last may be "
            f"repeated; received {levels}. `equildm.noise.grids` makes such grids."
        )
    if not np.all(np.isfinite(levels)) or np.min(levels) < 0 or levels[0] == 0:
        raise ValueError(
            f"Noise levels are finite, not negative, and start above 0; received {levels}. "
            "Use INFINITE_LEVEL for no signal, and invert from the lowest level of a schedule."
        )
    return bool(levels[0] < levels[-1])
