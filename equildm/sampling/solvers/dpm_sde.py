"""DPM-Solver++ (SDE)."""

from typing import ClassVar

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._types import NoiseLevel
from ..diffrax_types import RealScalar, Terms
from .ancestral import check_eta, split_level
from .base import AbstractNoisySolver, Denoise, Tensor
from .exponential import decay, middle


class DPMppSDE(AbstractNoisySolver[None]):
    """Singlestep SDE-DPM-Solver++ of order 2 ("DPM++ SDE" in k-diffusion, r = 1/2):

        m  = sqrt(s0 s1),    y_m = (down(m) / s0) y0 + (1 - down(m) / s0) D(y0, s0) + up(m) z_m
        y1 = (down(s1) / s0) y0 + (1 - down(s1) / s0) D(y_m, m) + up(s1) z

    with `down` and `up` as in `Ancestral`. `z_m` and `z` are increments of one Brownian motion, so
    their correlation is `sqrt((s0 - m) / (s0 - s1))`. Two evaluations a step, one if it lands on 0.

    **Fields:**

    - `eta`: the share of fresh noise, from 0 (`DPMpp2S`) to 1.
    - `noise_scale`: factor of the fresh noise.
    """

    eta: Float[Array, ""] | float = 1.0
    noise_scale: Float[Array, ""] | float = 1.0
    minimal_levy_area: ClassVar[type] = diffrax.AbstractSpaceTimeLevyArea

    def __check_init__(self) -> None:
        check_eta(self.eta)

    def draw(
        self, diffusion: Terms, t0: RealScalar, t1: RealScalar, length: NoiseLevel
    ) -> Float[Array, "2 *shape"]:
        area = diffusion.contr(t0, t1, use_levy=True)
        if not isinstance(area, diffrax.AbstractSpaceTimeLevyArea):
            raise ValueError(
                "DPMppSDE draws twice in a step and needs a path with a space-time Levy area, "
                f"received a {type(area).__name__}. Make the path with "
                "levy_area=diffrax.SpaceTimeLevyArea."
            )
        return jnp.stack([area.W, area.H * 12**0.5]) / jnp.sqrt(length)

    def advance(
        self,
        denoise: Denoise,
        y: Tensor,
        s0: NoiseLevel,
        s1: NoiseLevel,
        state: None,
        z: Float[Array, "2 *shape"],
    ) -> tuple[Tensor, None]:
        clean = denoise(y, s0)
        end, other = z
        m = middle(s0, s1)
        share = (s0 - m) / (s0 - s1)
        halfway = jnp.sqrt(share) * end + jnp.sqrt(1 - share) * other

        def average() -> Tensor:
            down, up = split_level(s0, m, self.eta)
            y_middle = decay(y, clean, s0, down) + up * self.noise_scale * halfway
            return denoise(y_middle, m)

        down, up = split_level(s0, s1, self.eta)
        y1 = decay(y, jax.lax.cond(s1 > 0, average, lambda: clean), s0, down)
        return y1 + up * self.noise_scale * end, None
