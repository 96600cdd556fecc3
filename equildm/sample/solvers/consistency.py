"""Multistep consistency sampling."""

from ..._types import NoiseLevel
from .base import AbstractNoisySolver, Denoise, Tensor


class Consistency(AbstractNoisySolver[None]):
    """Jump to the clean estimate, add fresh noise, repeat (Song et al. 2023, algorithm 1; LCM):

        y1 = D + s1 z

    For denoisers distilled to jump. CoDi's deterministic variant re-uses the noise it removed,
    `y1 = D + s1 eps`: that is `DDIM`.
    """

    def start(self, y: Tensor) -> None:
        return None

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
