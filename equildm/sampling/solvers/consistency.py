"""Multistep consistency sampling."""

from ..._types import NoiseLevel
from .base import AbstractNoisySolver, Denoise, Tensor


class Consistency(AbstractNoisySolver[None]):
    """Multistep consistency sampling (Song et al. 2023, algorithm 1; LCM):

        y1 = D + s1 z

    For consistency models, whose estimate D is a sample. CoDi's deterministic variant takes the
    noise that was removed instead of fresh noise, `y1 = D + s1 eps`: that is `DDIM`. One evaluation
    a step.
    """

    def advance(
        self,
        denoise: Denoise,
        y: Tensor,
        s0: NoiseLevel,
        s1: NoiseLevel,
        state: None,
        z: Tensor,
    ) -> tuple[Tensor, None]:
        return denoise(y, s0) + s1 * z, None
