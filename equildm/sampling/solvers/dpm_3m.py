"""DPM-Solver++(3M), of the flow and of the SDE."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._types import NoiseLevel
from .ancestral import check_eta
from .base import AbstractFlowSolver, AbstractNoisySolver, Denoise, Tensor
from .exponential import decay, moments, noisy_decay, Scalar, step_length
from .memory import empty, Memory, parabola, remember, usable


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
        average = _average(self, clean, s0, s1, state, step_length(s0, s1))
        return decay(y, average, s0, s1), remember(state, clean, s0)


class SDEDPMpp3M(AbstractNoisySolver[Memory]):
    """SDE-DPM-Solver++(3M) ("DPM++ 3M SDE" in k-diffusion):

        q = (s1 / s0)^(1 + eta)
        y1 = q y0 + (1 - q) Dbar + s1 sqrt(1 - (s1 / s0)^(2 eta)) z

    with `Dbar` as in `DPMpp3M`, where theta has the density of a step of length `(1 + eta) h`. One
    evaluation a step. Its weak order is 2, for the estimates carry noise. A step much longer than
    the one before magnifies that noise: choose a grid of even steps in `log s`, or nearly.

    **Fields:**

    - `as_published`, `first_order_to`, `second_order_to`: as in `DPMpp3M`.
    - `eta`: the share of fresh noise, from 0 (`DPMpp3M`) to 1.
    - `noise_scale`: factor of the fresh noise ("s_noise").
    """

    as_published: bool = eqx.field(static=True, default=False)
    first_order_to: Float[Array, ""] | float = 0.0
    second_order_to: Float[Array, ""] | float = 0.0
    eta: Float[Array, ""] | float = 1.0
    noise_scale: Float[Array, ""] | float = 1.0

    def __check_init__(self) -> None:
        check_eta(self.eta)

    def start(self, y: Tensor) -> Memory:
        return empty(y)

    def advance(
        self,
        denoise: Denoise,
        y: Tensor,
        s0: NoiseLevel,
        s1: NoiseLevel,
        state: Memory,
        z: Tensor,
    ) -> tuple[Tensor, Memory]:
        clean = denoise(y, s0)
        length = (1 + self.eta) * step_length(s0, s1)
        average = _average(self, clean, s0, s1, state, length)
        y1 = noisy_decay(y, average, s0, s1, z, self.eta, self.noise_scale)
        return y1, remember(state, clean, s0)


def _average(
    solver: DPMpp3M | SDEDPMpp3M,
    clean: Tensor,
    s0: NoiseLevel,
    s1: NoiseLevel,
    state: Memory,
    length: Scalar,
) -> Tensor:
    """`Dbar`, with the density of theta for a step of that length."""
    mean, square, _ = moments(length)
    if solver.as_published:
        square = square / 2
    a, _, slope, curvature = parabola(state, clean, s0, step_length(s0, s1))
    linear, curved = usable(state, s1, solver.first_order_to, solver.second_order_to)
    # A step of order 2 is that of DPM-Solver++(2M), which takes 1/2 for E[theta].
    return (
        clean
        + jnp.where(linear, jnp.where(curved, mean, 0.5), 0) * slope
        + jnp.where(curved, square - a * mean, 0) * curvature
    )
