"""DPM-Solver++(2S)."""

import jax

from ..._types import NoiseLevel
from .base import AbstractFlowSolver, Denoise, Tensor
from .exponential import decay, middle


class DPMpp2S(AbstractFlowSolver[None]):
    """Singlestep DPM-Solver++ of order 2 (Lu et al. 2022b, algorithm 1 with r = 1/2):

        m  = sqrt(s0 s1),    y_m = (m / s0) y0 + (1 - m / s0) D(y0, s0)
        y1 = (s1 / s0) y0 + (1 - s1 / s0) D(y_m, m)

    which is the exponential midpoint rule. Two evaluations a step, one if it lands on 0.
    """

    def order(self, terms: object) -> int:
        return 2

    def advance(
        self, denoise: Denoise, y: Tensor, s0: NoiseLevel, s1: NoiseLevel, state: None
    ) -> tuple[Tensor, None]:
        clean = denoise(y, s0)
        m = middle(s0, s1)
        average = jax.lax.cond(s1 > 0, lambda: denoise(decay(y, clean, s0, m), m), lambda: clean)
        return decay(y, average, s0, s1), None
