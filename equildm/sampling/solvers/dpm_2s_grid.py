"""DPM-Solver++(2S) whose two evaluations are two steps of the grid."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from ..._types import NoiseLevel
from .base import AbstractFlowSolver, Denoise, Tensor
from .exponential import decay, step_length


class Origin(NamedTuple):
    """Where the last step of order 1 started, its clean estimate, and the steps taken."""

    y: Tensor
    clean: Tensor
    level: NoiseLevel
    steps: Int[Array, ""]


class DPMpp2SOnGrid(AbstractFlowSolver[Origin]):
    """Singlestep DPM-Solver++ as in the public scheduler (Lu et al. 2022b, algorithm 1).

    A step of order 1 is one of DDIM. A step of order 2 starts again where the step before it
    started, and takes the estimate at `s0` as that of the middle:

        r = log(s / s0) / log(s / s1)
        y1 = (s1 / s) y + (1 - s1 / s) (D(s) + (D(s0) - D(s)) / (2 r))

    with `y` and `s` of that start. So the grid gives the middle, which need not be `sqrt(s s1)` as
    in `DPMpp2S`, and each of its steps takes one evaluation.

    **Fields:**

    - `second`: whether each step is of order 2. The first is not.
    """

    second: Bool[Array, "steps"]

    def order(self, terms: object) -> int:
        return 2

    def start(self, y: Tensor) -> Origin:
        return Origin(y, jnp.zeros_like(y), jnp.ones((), y.dtype), jnp.asarray(0))

    def advance(
        self, denoise: Denoise, y: Tensor, s0: NoiseLevel, s1: NoiseLevel, state: Origin
    ) -> tuple[Tensor, Origin]:
        clean = denoise(y, s0)
        second = self.second[jnp.minimum(state.steps, len(self.second) - 1)]
        start, first, level = (
            jnp.where(second, old, new) for old, new in zip(state[:3], (y, clean, s0), strict=True)
        )
        middle = jnp.where(second, step_length(level, s0), 1)
        slope = jnp.where(second, 0.5 * step_length(level, s1) / middle, 0)
        average = first + slope * (clean - first)
        return decay(start, average, level, s1), Origin(start, first, level, state.steps + 1)
