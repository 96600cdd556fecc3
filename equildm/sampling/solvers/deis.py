"""DEIS."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._types import NoiseLevel
from .base import AbstractFlowSolver, Denoise, Tensor
from .exponential import decay, moments, step_length
from .memory import empty, Memory, parabola, remember, usable


class DEIS(AbstractFlowSolver[Memory]):
    """Diffusion exponential integrator sampler (Zhang & Chen 2023, rho-AB), in `log s`:

        y1 = y0 + integral_{s0}^{s1} eps(log s) ds

    with the polynomial in `log s` through the last `max_order` noise estimates. `LMS` takes the
    polynomial in `s`. One evaluation a step. The first steps are of lower order, and one that lands
    on 0 is of order 1.

    **Fields:**

    - `max_order`: 1 (DDIM), 2 or 3.
    - `first_order_to`, `second_order_to`: steps that land on these levels or below are of order 1
        (2). The public option "lower order final" is `levels[-1]` and `levels[-2]`.
    """

    max_order: int = eqx.field(static=True, default=3)
    first_order_to: Float[Array, ""] | float = 0.0
    second_order_to: Float[Array, ""] | float = 0.0

    def __check_init__(self) -> None:
        if self.max_order not in (1, 2, 3):
            raise ValueError(f"DEIS is of order 1 to 3, received {self.max_order}. Use 3.")

    def order(self, terms: object) -> int:
        return self.max_order

    def start(self, y: Tensor) -> Memory:
        return empty(y)

    def advance(
        self, denoise: Denoise, y: Tensor, s0: NoiseLevel, s1: NoiseLevel, state: Memory
    ) -> tuple[Tensor, Memory]:
        clean = denoise(y, s0)
        eps = (y - clean) / s0
        h = step_length(s0, s1)
        # `ds` weighs the start of a step as `exponential.py` weighs its end.
        mean, square, _ = moments(h)
        early, early_square = 1 - mean, 1 - 2 * mean + square
        a, _, slope, curvature = parabola(state, eps, s0, h)
        linear, curved = usable(state, s1, self.first_order_to, self.second_order_to)
        change = (
            jnp.where(linear & (self.max_order > 1), early, 0) * slope
            + jnp.where(curved & (self.max_order > 2), early_square - a * early, 0) * curvature
        )
        return decay(y, clean, s0, s1) + (s1 - s0) * change, remember(state, eps, s0)
