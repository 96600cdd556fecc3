"""DPM-Solver-2, the public "KDPM2"."""

import jax
import jax.numpy as jnp

from ..._types import NoiseLevel
from .base import AbstractFlowSolver, Denoise, Tensor
from .exponential import decay, far, middle


class DPM2(AbstractFlowSolver[None]):
    """The midpoint rule in `log s` on the noise estimates ("DPM2" in k-diffusion):

        m  = sqrt(s0 s1),    y_m = y0 + (m - s0) eps(y0, s0)
        y1 = y0 + (s1 - s0) eps(y_m, m)

    It is DPM-Solver-2 of Lu et al. 2022 (algorithm 1) with the coefficients of Karras et al. 2022
    (algorithm 2). Order 2. Two evaluations a step; one if the step lands on 0 or starts far above
    the data, where order 1 is exact.
    """

    def order(self, terms: object) -> int:
        return 2

    def advance(
        self, denoise: Denoise, y: Tensor, s0: NoiseLevel, s1: NoiseLevel, state: None
    ) -> tuple[Tensor, None]:
        clean = denoise(y, s0)
        m = middle(s0, s1)

        def change() -> Tensor:
            """`eps(y_m, m) - eps(y0, s0)`, which loses little to rounding."""
            return (clean - denoise(decay(y, clean, s0, m), m)) / m

        second_order = (s1 > 0) & ~far(s0, s1)
        bend = jax.lax.cond(second_order, change, lambda: jnp.zeros_like(y))
        return decay(y, clean, s0, s1) + (s1 - s0) * bend, None
