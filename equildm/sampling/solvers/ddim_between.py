"""DDIM whose steps stop between the levels of the grid."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._types import NoiseLevel
from .base import AbstractFlowSolver, Denoise, Tensor
from .exponential import decay


class DDIMBetween(AbstractFlowSolver[None]):
    """The public DDIM, which steps to the time `T // steps` earlier, whatever the grid's next is:

        y' = D + stop eps,    y1 = y' sqrt((1 + s1^2) / (1 + stop^2))

    The noisy latent `x` at the level `stop` is taken for that of the grid's next level. The two
    differ where the steps do not divide the schedule's times, and in a grid of linearly spaced
    times. At a last level of 0 the result is that `x`, as in the public pipelines.

    **Fields:**

    - `starts`, `stops`: the levels at which each step starts and stops.
    """

    starts: Float[Array, "steps"]
    stops: Float[Array, "steps"]

    def order(self, terms: object) -> int:
        return 1

    def advance(
        self, denoise: Denoise, y: Tensor, s0: NoiseLevel, s1: NoiseLevel, state: None
    ) -> tuple[Tensor, None]:
        stop = self.stops[jnp.argmin(jnp.abs(self.starts - s0))].astype(y.dtype)
        same_x = jnp.sqrt((1 + s1**2) / (1 + stop**2))
        return same_x * decay(y, denoise(y, s0), s0, stop), None
