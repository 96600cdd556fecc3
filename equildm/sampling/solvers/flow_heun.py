"""Heun's method on the straight paths of flow matching."""

import jax
import jax.numpy as jnp

from ..._types import NoiseLevel
from .base import AbstractFlowSolver, Denoise, Tensor
from .exponential import decay


class FlowHeun(AbstractFlowSolver[None]):
    """Heun's method in `u = s / (1 + s)` on `x = (1 - u) y`, flow matching's own frame. Order 2.

        dx/du = v = eps - D,    e = x0 + (u1 - u0) v(x0, u0)
        x1 = x0 + (u1 - u0) (v(x0, u0) + v(e, u1)) / 2

    In the frame of noise levels `e` is the step of `DDIM`, and the correction is that of `Heun`
    times `(1 + s1) / (1 + s0)`: bounded from any level, so that it needs no lower order far above
    the data. Two evaluations a step; one if the step lands on 0.
    """

    def order(self, terms: object) -> int:
        return 2

    def advance(
        self, denoise: Denoise, y: Tensor, s0: NoiseLevel, s1: NoiseLevel, state: None
    ) -> tuple[Tensor, None]:
        clean = denoise(y, s0)
        euler = decay(y, clean, s0, s1)

        def correction() -> Tensor:
            length = (s1 - s0) / (1 + s0)
            return length / 2 * (1 + s1) * ((clean - denoise(euler, s1)) / s1)

        return euler + jax.lax.cond(s1 > 0, correction, lambda: jnp.zeros_like(y)), None
