"""DPM-Solver++(3M)."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._types import NoiseLevel
from .base import AbstractFlowSolver, Denoise, Tensor
from .exponential import decay, moments, step_length
from .memory import empty, Memory, parabola, remember


class DPMpp3M(AbstractFlowSolver[Memory]):
    """Multistep DPM-Solver++ of order 3 (Lu et al. 2022b), by the parabola through three estimates.

    With `theta` the position within the step (see `exponential.py`), `a` and `b` the positions of
    the last two estimates, and `D[..]` divided differences of the estimates:

        Dbar = D + E[theta] D[0, a] + E[theta (theta - a)] D[0, a, b]
        y1 = (s1 / s0) y0 + (1 - s1 / s0) Dbar

    One evaluation a step. The first two steps are of order 1 and 2, and one that lands on 0 is of
    order 1.

    **Fields:**

    - `as_published`: take half of `E[theta^2]`, as the authors' code and the public schedulers do.
        Then the method is of order 2.
    - `first_order_to`, `second_order_to`: steps that land on these levels or below are of order 1
        (2). The public option "lower order final" is `levels[-1]` and `levels[-2]`.
    """

    as_published: bool = eqx.field(static=True, default=False)
    first_order_to: Float[Array, ""] | float = 0.0
    second_order_to: Float[Array, ""] | float = 0.0

    def order(self, terms: object) -> int:
        return 2 if self.as_published else 3

    def start(self, y: Tensor) -> Memory:
        return empty(y)

    def advance(
        self, denoise: Denoise, y: Tensor, s0: NoiseLevel, s1: NoiseLevel, state: Memory
    ) -> tuple[Tensor, Memory]:
        clean = denoise(y, s0)
        h = step_length(s0, s1)
        mean, square, _ = moments(h)
        if self.as_published:
            square = square / 2
        a, _, slope, curvature = parabola(state, clean, s0, h)
        linear = (state.known > 0) & (s1 > self.first_order_to) & (s1 > 0)
        curved = (state.known > 1) & (s1 > self.second_order_to) & linear
        # A step of order 2 is that of DPM-Solver++(2M), which takes 1/2 for E[theta].
        average = (
            clean
            + jnp.where(linear, jnp.where(curved, mean, 0.5), 0) * slope
            + jnp.where(curved, square - a * mean, 0) * curvature
        )
        return decay(y, average, s0, s1), remember(state, clean, s0)
