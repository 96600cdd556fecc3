"""DPM-Solver++(2M)."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..._types import NoiseLevel
from .ancestral import check_eta
from .base import AbstractFlowSolver, AbstractNoisySolver, Denoise, Tensor
from .exponential import decay, noisy_decay, step_length


class Previous(NamedTuple):
    """The last clean estimate and its level; `known` is false before the first step."""

    clean: Tensor
    level: NoiseLevel
    known: Bool[Array, ""]


class DPMpp2M(AbstractFlowSolver[Previous]):
    """Multistep DPM-Solver++ of order 2 (Lu et al. 2022b, algorithm 2; the public "midpoint" form).

        h = log(s0 / s1),    r = log(s_prev / s0) / h
        y1 = (s1 / s0) y0 + (1 - s1 / s0) (D + (D - D_prev) / (2 r))

    One evaluation a step. The first step, and one that lands on 0, are of order 1.

    **Fields:**

    - `first_order_to`: steps that land on this level or below are of order 1 too. The public option
        "lower order final" is `first_order_to=levels[-1]`, for stability with few steps.
    """

    first_order_to: Float[Array, ""] | float = 0.0

    def order(self, terms: object) -> int:
        return 2

    def start(self, y: Tensor) -> Previous:
        return nothing_known(y)

    def advance(
        self, denoise: Denoise, y: Tensor, s0: NoiseLevel, s1: NoiseLevel, state: Previous
    ) -> tuple[Tensor, Previous]:
        clean = denoise(y, s0)
        average = extrapolate(clean, s0, s1, state, self.first_order_to)
        return decay(y, average, s0, s1), Previous(clean, s0, jnp.asarray(True))


class SDEDPMpp2M(AbstractNoisySolver[Previous]):
    """SDE-DPM-Solver++(2M) (Lu et al. 2022b, section 5 and appendix; the public "midpoint" form):

        q = (s1 / s0)^(1 + eta)
        y1 = q y0 + (1 - q) (D + (D - D_prev) / (2 r)) + s1 sqrt(1 - (s1 / s0)^(2 eta)) z

    with `h` and `r` as in `DPMpp2M`. With `eta = 1` its first-order steps are those of `Ancestral`.
    One evaluation a step. A step much longer than the one before magnifies the noise of the
    estimates: choose a grid of even steps in `log s`, or nearly.

    **Fields:**

    - `first_order_to`: as in `DPMpp2M`.
    - `eta`: the share of fresh noise, from 0 (`DPMpp2M`) to 1, as in k-diffusion.
    - `noise_scale`: factor of the fresh noise ("s_noise").
    """

    first_order_to: Float[Array, ""] | float = 0.0
    eta: Float[Array, ""] | float = 1.0
    noise_scale: Float[Array, ""] | float = 1.0

    def __check_init__(self) -> None:
        check_eta(self.eta)

    def start(self, y: Tensor) -> Previous:
        return nothing_known(y)

    def advance(
        self,
        denoise: Denoise,
        y: Tensor,
        s0: NoiseLevel,
        s1: NoiseLevel,
        state: Previous,
        z: Tensor,
    ) -> tuple[Tensor, Previous]:
        clean = denoise(y, s0)
        average = extrapolate(clean, s0, s1, state, self.first_order_to)
        y1 = noisy_decay(y, average, s0, s1, z, self.eta, self.noise_scale)
        return y1, Previous(clean, s0, jnp.asarray(True))


def nothing_known(y: Tensor) -> Previous:
    """The state before the first step."""
    return Previous(jnp.zeros_like(y), jnp.ones((), y.dtype), jnp.asarray(False))


def extrapolate(
    clean: Tensor,
    s0: NoiseLevel,
    s1: NoiseLevel,
    previous: Previous,
    first_order_to: Float[Array, ""] | float,
) -> Tensor:
    """The clean estimate half a step ahead, extrapolated linearly from the last two."""
    linear = previous.known & (s1 > first_order_to) & (s1 > 0)
    behind = jnp.where(linear, step_length(previous.level, s0), 1)
    slope = jnp.where(linear, 0.5 * step_length(s0, s1) / behind, 0)
    return clean + slope * (clean - previous.clean)
