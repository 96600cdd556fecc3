"""DDPM, and stochastic DDIM."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._types import NoiseLevel
from .base import AbstractNoisySolver, Denoise, Tensor


class Ancestral(AbstractNoisySolver[None]):
    """DDPM (Ho et al. 2020, algorithm 2) and DDIM with eta (Song et al. 2021, equation 12 and 16):

        s_up   = eta s1 sqrt(1 - s1^2 / s0^2),    s_down = sqrt(s1^2 - s_up^2)
        y1     = D + s_down eps + s_up z

    With `eta = 1` it is DDPM with the posterior variance ("fixed small"), the public "Euler
    ancestral" and SDE-DPM-Solver++(1); with `eta = 0` it is DDIM. One evaluation a step, weak order
    1.

    **Fields:**

    - `eta`: the share of fresh noise, from 0 to 1.
    """

    eta: Float[Array, ""] | float = 1.0

    def __check_init__(self) -> None:
        if isinstance(self.eta, float | int) and not 0 <= self.eta <= 1:
            raise ValueError(
                f"eta is from 0 (DDIM) to 1 (DDPM), received {self.eta}: above 1 the fresh noise "
                "alone would exceed the next level. Use 1."
            )

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
        clean = denoise(y, s0)
        ratio = s1 / s0
        fresh = self.eta * jnp.sqrt((1 - ratio) * (1 + ratio))
        square = (1 - self.eta**2) + (self.eta * ratio) ** 2  # 1 - fresh^2
        old = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
        return clean + ratio * old * (y - clean) + s1 * fresh * z, None
