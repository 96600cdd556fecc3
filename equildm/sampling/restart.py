"""Restart sampling."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Condition, Key, Keys
from ..noise.grids import between
from .sampling import from_noise, sample_from
from .solve import Levels, Tensor
from .solvers import Heun
from .terms import Denoiser

_HEUN = Heun()


@dataclasses.dataclass(frozen=True)
class Restart:
    """An interval of noise levels that the sample goes through again, after fresh noise."""

    low: float
    """Where it starts again: at the first level of the grid that is not above this one."""
    high: float
    """The level to which noise is added."""
    times: int = 1
    """How often."""
    steps: int = 9
    """Steps from `high` back, spaced as Karras et al. 2022."""

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high < np.inf or self.times < 1 or self.steps < 1:
            raise ValueError(
                "A restart goes from `low` above 0 to a `high` above it, at least once and in at "
                f"least 1 step; received {self}. Restart(0.3, 2.0, times=3, steps=9) is one."
            )


def sample_with_restarts(
    denoiser: Denoiser,
    noise: Tensor,
    levels: Levels,
    restarts: Sequence[Restart],
    solver: diffrax.AbstractSolver = _HEUN,
    *,
    condition: Condition = None,
    key: Key,
    **options: Any,
) -> Tensor:
    """Restart sampling (Xu et al. 2023, algorithm 1): at each `low`, noise to `high`, and down.

        y = y_low + sqrt(s_high^2 - s_low^2) z

    Fresh noise contracts the errors made above `low`, as in stochastic samplers; the steps between
    are those of a deterministic one.

    **Arguments:** as in `sample`, and

    - `levels`: the grid, which is not traced.
    - `restarts`: the intervals, of which the highest comes first.
    - `key`: for the fresh noise, and for the solver where it is stochastic.

    **Returns:** the state at the last level.

    **Raises** `ValueError` for a `low` that lies outside of the grid or does not fall, and for a
    grid that is traced.
    """

    def step_through(y: Tensor, levels: Levels, key: Key) -> Tensor:
        return sample_from(denoiser, y, levels, solver, condition=condition, key=key, **options)

    if isinstance(levels, jax.core.Tracer):
        raise ValueError(
            "Restarts are placed in the grid before it is compiled, received traced levels. Pass "
            "them as a numpy array, not as an argument of the jitted function."
        )
    levels = np.asarray(levels)
    y, start = from_noise(noise, levels), 0
    for restart in restarts:
        stop = int(np.argmax(levels <= restart.low))
        if not start < stop or levels[stop] <= 0:
            raise ValueError(
                "A restart begins at a level of the grid above 0 and below the restart before it, "
                f"received low = {restart.low} for {levels[start:]}. Change `low`."
            )
        *keys, key = jax.random.split(key, restart.times + 2)
        y = step_through(y, levels[start : stop + 1], keys[0])
        again = between(restart.high, levels[stop], restart.steps + 1)
        y = _repeat(step_through, y, again, jnp.stack(keys[1:]))
        start = stop
    return step_through(y, levels[start:], key)


def _repeat(step_through: Callable[..., Tensor], y: Tensor, levels: Levels, keys: Keys) -> Tensor:
    rise = float(np.sqrt(levels[0] ** 2 - levels[-1] ** 2))

    def once(y: Tensor, key: Key) -> tuple[Tensor, None]:
        noise_key, step_key = jax.random.split(key)
        y = y + rise * jax.random.normal(noise_key, y.shape, y.dtype)
        return step_through(y, levels, step_key), None

    return jax.lax.scan(once, y, keys)[0]
