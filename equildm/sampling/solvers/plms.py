"""PLMS, the sampler of Stable Diffusion 1."""

from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..._types import NoiseLevel
from .base import AbstractFlowSolver, Denoise, Tensor
from .exponential import decay, far

_WEIGHTS = ((1, 0, 0, 0), (3 / 2, -1 / 2, 0, 0), (23 / 12, -16 / 12, 5 / 12, 0),
            (55 / 24, -59 / 24, 37 / 24, -9 / 24))  # fmt: skip
"""Adams and Bashforth's, of order 1 to 4."""


class Slopes(NamedTuple):
    """The last three noise estimates or velocities, the newest first, and their number."""

    outputs: Float[Array, "3 *shape"]
    number: Int[Array, ""]


class PLMS(AbstractFlowSolver[Slopes]):
    """Pseudo linear multistep (Liu et al. 2022, equation 12), without Runge-Kutta steps before:

        y1 = y0 + (s1 - s0) (55 eps_0 - 59 eps_1 + 37 eps_2 - 9 eps_3) / 24

    with the noise estimate `eps_0` of this step and those of the last three, of which there are
    fewer at first. The weights are those of equal steps, as in the paper and the public sampler: on
    a grid that is uneven in `s` the order is 1. The first step averages the slopes at its ends and
    takes two evaluations, each other step one; so does the first, where it is from far above the
    data and order 1 is exact.

    The public sampler combines what the network predicts. For a network of velocities
    `v = (eps - s clean) / sqrt(1 + s^2)` it puts the combined one in place of `v_0`, and takes the
    noise estimate of this step from it.
    """

    combined: Literal["eps", "v"] = eqx.field(static=True, default="eps")
    """What is combined over the steps."""

    def order(self, terms: object) -> int:
        return 1

    def start(self, y: Tensor) -> Slopes:
        return Slopes(jnp.zeros((3, *y.shape), y.dtype), jnp.asarray(0))

    def advance(
        self, denoise: Denoise, y: Tensor, s0: NoiseLevel, s1: NoiseLevel, state: Slopes
    ) -> tuple[Tensor, Slopes]:
        clean = denoise(y, s0)
        output = self._output(y, clean, s0)
        before = jnp.concatenate([output[None], state.outputs])
        weights = jnp.asarray(_WEIGHTS, y.dtype)[state.number]
        euler = decay(y, clean, s0, s1)
        change = jnp.tensordot(weights[1:], before[1:] - output, axes=1)

        def averaged() -> Tensor:
            return (self._output(euler, denoise(euler, s1), s1) - output) / 2

        first = (state.number == 0) & (s1 > 0) & ~far(s0, s1)
        change = jax.lax.cond(first, averaged, lambda: change)
        if self.combined == "v":
            change = change / jnp.sqrt(1 + s0**2)  # the noise estimate is `alpha v + sigma x`
        return euler + (s1 - s0) * change, Slopes(before[:3], jnp.minimum(state.number + 1, 3))

    def _output(self, y: Tensor, clean: Tensor, s: NoiseLevel) -> Tensor:
        eps = (y - clean) / s
        return (eps - s * clean) / jnp.sqrt(1 + s**2) if self.combined == "v" else eps
