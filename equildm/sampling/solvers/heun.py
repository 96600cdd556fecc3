"""Heun's method as in EDM."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._types import NoiseLevel
from .base import AbstractFlowSolver, AbstractNoisySolver, Denoise, Tensor
from .exponential import decay, far

Scalar = Float[Array, ""]


class Heun(AbstractFlowSolver[None]):
    """EDM's deterministic sampler (Karras et al. 2022, algorithm 1). Order 2.

        e = y0 + (s1 - s0) eps(y0, s0)
        y1 = y0 + (s1 - s0) (eps(y0, s0) + eps(e, s1)) / 2

    Two evaluations a step; one if the step lands on 0, where eps does not exist, or starts far
    above the data, where order 1 is exact.
    """

    def order(self, terms: object) -> int:
        return 2

    def advance(
        self, denoise: Denoise, y: Tensor, s0: NoiseLevel, s1: NoiseLevel, state: None
    ) -> tuple[Tensor, None]:
        return heun_step(denoise, y, s0, s1), None


class ChurnedHeun(AbstractNoisySolver[None]):
    """EDM's stochastic sampler (Karras et al. 2022, algorithm 2): noise, then a step of `Heun`.

        s_hat = (1 + gamma) s0,    y_hat = y0 + noise_scale sqrt(s_hat^2 - s0^2) z

    with `gamma = min(churn, sqrt 2 - 1)` between the levels `low` and `high`, and 0 elsewhere.

    **Fields:**

    - `churn`: relative increase of the level at each step; the paper's `S_churn` over the number
        of steps.
    - `low`, `high`, `noise_scale`: the paper's `S_min`, `S_max`, `S_noise`.
    """

    churn: Scalar | float = 0.4
    low: Scalar | float = 0.0
    high: Scalar | float = float("inf")
    noise_scale: Scalar | float = 1.0

    def __check_init__(self) -> None:
        if isinstance(self.churn, float | int) and not self.churn >= 0:
            raise ValueError(
                f"A churn adds noise, so it is at least 0, received {self.churn}. Use 0.4, or "
                "Heun() for none."
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
        churned = (self.low <= s0) & (s0 <= self.high)
        gamma = jnp.where(churned, jnp.minimum(self.churn, 2**0.5 - 1), 0).astype(s0.dtype)
        y = y + self.noise_scale * s0 * jnp.sqrt(gamma * (2 + gamma)) * z
        return heun_step(denoise, y, (1 + gamma) * s0, s1), None


def heun_step(denoise: Denoise, y: Tensor, s0: NoiseLevel, s1: NoiseLevel) -> Tensor:
    """One step of Heun's method on `dy/ds = (y - D) / s`."""
    clean = denoise(y, s0)
    euler = decay(y, clean, s0, s1)

    def change() -> Tensor:
        """`eps(e, s1) - eps(y0, s0)`, which loses little to rounding."""
        return (clean - denoise(euler, s1)) / s1

    second_order = (s1 > 0) & ~far(s0, s1)
    return euler + (s1 - s0) / 2 * jax.lax.cond(second_order, change, lambda: jnp.zeros_like(y))
