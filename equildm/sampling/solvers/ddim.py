"""DDIM."""

from ..._types import NoiseLevel
from .base import AbstractFlowSolver, Denoise, Tensor
from .exponential import decay


class DDIM(AbstractFlowSolver[None]):
    """Deterministic DDIM (Song et al. 2021, equation 12 with eta = 0):

        y1 = D + s1 eps,    eps = (y0 - D) / s0

    Order 1, one evaluation a step. In these variables it is also Euler's method (`diffrax.Euler`,
    and the public "Euler" scheduler), DPM-Solver++(1) (Lu et al. 2022b), and, with a consistency
    model as the denoiser, the deterministic sampler of CoDi.
    """

    def order(self, terms: object) -> int:
        return 1

    def advance(
        self, denoise: Denoise, y: Tensor, s0: NoiseLevel, s1: NoiseLevel, state: None
    ) -> tuple[Tensor, None]:
        return decay(y, denoise(y, s0), s0, s1), None
