"""DDPM, stochastic DDIM, and fresh noise after the step of any solver."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._types import NoiseLevel
from .base import AbstractFlowSolver, AbstractNoisySolver, Denoise, Tensor
from .ddim import DDIM
from .exponential import root

Scalar = Float[Array, ""] | float


class Ancestral(AbstractNoisySolver[None]):
    """A step of a deterministic solver below the next level, then fresh noise up to it:

        up = eta s1 sqrt(1 - s1^2 / s0^2),    down = sqrt(s1^2 - up^2)
        y1 = step(y0, s0, down) + up z

    With `DDIM()` this is DDIM with eta (Song et al. 2021, equation 12 and 16). Its `eta = 1` is
    DDPM with the posterior variance ("fixed small", Ho et al. 2020, algorithm 2), the public "Euler
    ancestral" and SDE-DPM-Solver++(1). With `DPMpp2S()` it is "DPM++ 2S ancestral" of k-diffusion,
    with `DPM2()` "DPM2 ancestral". Evaluations are those of the solver. Weak order 1.

    **Fields:**

    - `eta`: the share of fresh noise, from 0 (the solver alone) to 1.
    - `noise_scale`: factor of the fresh noise ("s_noise").
    - `solver`: of the deterministic step. It has no memory of earlier ones.
    """

    eta: Scalar = 1.0
    noise_scale: Scalar = 1.0
    solver: AbstractFlowSolver[None] = DDIM()

    def __check_init__(self) -> None:
        check_eta(self.eta)
        memory = jax.eval_shape(self.solver.start, jax.ShapeDtypeStruct((1,), jnp.float32))
        if memory is not None:
            raise ValueError(
                "Ancestral takes a solver whose steps stand alone, such as DPMpp2S() or DPM2(), "
                f"received {type(self.solver).__name__}, which remembers earlier steps: fresh "
                "noise would spoil them. For multistep samplers use SDEDPMpp2M or SDEDPMpp3M."
            )

    def advance(
        self,
        denoise: Denoise,
        y: Tensor,
        s0: NoiseLevel,
        s1: NoiseLevel,
        state: None,
        z: Tensor,
    ) -> tuple[Tensor, None]:
        down, up = split_level(s0, s1, self.eta)
        y1, _ = self.solver.advance(denoise, y, s0, down, None)
        return y1 + up * self.noise_scale * z, None


def split_level(s0: NoiseLevel, s1: NoiseLevel, eta: Scalar) -> tuple[NoiseLevel, NoiseLevel]:
    """`down` and `up`, whose squares add up to that of `s1`; see `Ancestral`."""
    ratio = s1 / s0
    fresh = eta * jnp.sqrt((1 - ratio) * (1 + ratio))
    old = root((1 - eta**2) + (eta * ratio) ** 2)  # of 1 - fresh^2
    return s1 * old, s1 * fresh


def check_eta(eta: Scalar) -> None:
    """**Raises** `ValueError` for a share of fresh noise outside of [0, 1]."""
    if isinstance(eta, float | int) and not 0 <= eta <= 1:
        raise ValueError(
            f"eta is from 0 (DDIM) to 1 (DDPM), received {eta}: above 1 the fresh noise "
            "alone would exceed the next level. Use 1."
        )
