"""UniPC."""

from typing import Literal, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..._types import NoiseLevel
from .base import AbstractFlowSolver, Denoise, Tensor
from .exponential import decay, moments, step_length
from .memory import empty, Memory, parabola, remember


class Predicted(NamedTuple):
    """The inputs of the last prediction, and its order; 0 before the first step."""

    y: Tensor
    clean: Tensor
    level: NoiseLevel
    memory: Memory
    order: Int[Array, ""]


class UniPC(AbstractFlowSolver[Predicted]):
    """Predictor-corrector of order 1 to 3 (Zhao et al. 2023, on clean estimates).

    The prediction takes the polynomial through the last estimates, as in `DPMpp3M`. The estimate at
    the predicted state is one more point of the polynomial and corrects the prediction; it is not
    evaluated again at the corrected state, so a step takes one evaluation. The next step makes the
    correction, hence the last prediction is not corrected.

    **Fields:**

    - `max_order`: 1, 2 or 3.
    - `variant`: "bh2", the paper's `B(h) = e^h - 1`, or "bh1", `B(h) = h`, which it recommends for
        unconditional models. They differ where a weight is 1/2 for want of estimates: "bh1" makes
        it `h / (2 (1 - e^-h))`.
    - `first_order_to`, `second_order_to`: steps that land on these levels or below are of order 1
        (2). The public option "lower order final" is `levels[-1]` and `levels[-2]`.
    """

    max_order: int = eqx.field(static=True, default=2)
    first_order_to: Float[Array, ""] | float = 0.0
    second_order_to: Float[Array, ""] | float = 0.0
    variant: Literal["bh1", "bh2"] = eqx.field(static=True, default="bh2")

    def __check_init__(self) -> None:
        if self.max_order not in (1, 2, 3):
            raise ValueError(f"UniPC is of order 1 to 3, received {self.max_order}. Use 2.")
        if self.variant not in ("bh1", "bh2"):
            raise ValueError(f"UniPC's variant is 'bh1' or 'bh2', received {self.variant!r}.")

    def order(self, terms: object) -> int:
        return self.max_order

    def start(self, y: Tensor) -> Predicted:
        return Predicted(y, y, jnp.ones((), y.dtype), empty(y), jnp.asarray(0))

    def advance(
        self, denoise: Denoise, y: Tensor, s0: NoiseLevel, s1: NoiseLevel, state: Predicted
    ) -> tuple[Tensor, Predicted]:
        clean = denoise(y, s0)
        y = jnp.where(state.order > 0, self._correct(state, clean, s0), y)
        memory = remember(state.memory, state.clean, state.level)
        memory = memory._replace(known=jnp.where(state.order > 0, memory.known, 0))

        order = jnp.minimum(memory.known + 1, self.max_order)
        order = jnp.where(s1 > self.second_order_to, order, jnp.minimum(order, 2))
        order = jnp.where((s1 > self.first_order_to) & (s1 > 0), order, 1)
        h = step_length(s0, s1)
        mean, square, _ = moments(h)
        a, _, slope, curvature = parabola(memory, clean, s0, h)
        average = (
            clean
            + jnp.where(order > 1, jnp.where(order > 2, mean, self._half(h)), 0) * slope
            + jnp.where(order > 2, square - a * mean, 0) * curvature
        )
        return decay(y, average, s0, s1), Predicted(y, clean, s0, memory, order)

    def _correct(self, state: Predicted, clean: Tensor, s1: NoiseLevel) -> Tensor:
        """The last step, by the polynomial through the estimates at its start, end and before."""
        h = step_length(state.level, s1)
        mean, square, cube = moments(h)
        a, b, slope, curvature = parabola(state.memory, state.clean, state.level, h)
        ahead = clean - state.clean
        bend = (ahead - slope) / (1 - a)
        twist = (bend - curvature) / (1 - b)
        average = (
            state.clean
            + jnp.where(state.order > 1, mean, self._half(h)) * ahead
            + jnp.where(state.order > 1, square - mean, 0) * bend
            + jnp.where(state.order > 2, cube - (1 + a) * square + a * mean, 0) * twist
        )
        return decay(state.y, average, state.level, s1)

    def _half(self, h: NoiseLevel) -> NoiseLevel:
        half = jnp.full_like(h, 0.5)
        return half if self.variant == "bh2" else -half * h / jnp.expm1(-h)
