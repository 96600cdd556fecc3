"""Linear multistep."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..._types import NoiseLevel
from .base import AbstractFlowSolver, Denoise, Tensor
from .exponential import decay


class Slopes(NamedTuple):
    """The last three noise estimates and their levels, the newest first, and their number."""

    eps: Float[Array, "3 *shape"]
    levels: Float[Array, "3"]
    number: Int[Array, ""]


class LMS(AbstractFlowSolver[Slopes]):
    """Adams and Bashforth's method on `dy/ds = eps`, for uneven steps ("LMS" in k-diffusion):

        y1 = y0 + sum_j eps_j integral_{s0}^{s1} L_j(s) ds

    where `L_j` are Lagrange's polynomials through the levels of the last `max_order` noise
    estimates. One evaluation a step. The first steps have fewer estimates and are of lower order.
    A step may land on 0.

    **Fields:**

    - `max_order`: from 1 (DDIM) to 4.
    """

    max_order: int = eqx.field(static=True, default=4)

    def __check_init__(self) -> None:
        if self.max_order not in (1, 2, 3, 4):
            raise ValueError(f"LMS is of order 1 to 4, received {self.max_order}. Use 4.")

    def order(self, terms: object) -> int:
        return self.max_order

    def start(self, y: Tensor) -> Slopes:
        return Slopes(jnp.zeros((3, *y.shape), y.dtype), jnp.zeros(3, y.dtype), jnp.asarray(0))

    def advance(
        self, denoise: Denoise, y: Tensor, s0: NoiseLevel, s1: NoiseLevel, state: Slopes
    ) -> tuple[Tensor, Slopes]:
        clean = denoise(y, s0)
        eps = jnp.concatenate([((y - clean) / s0)[None], state.eps])
        levels = jnp.concatenate([s0[None], state.levels])
        weights = adams_weights(levels, jnp.minimum(state.number + 1, self.max_order), s1)
        # The weights add up to `s1 - s0`. The rest of DDIM's step is small, and rounds less.
        y1 = decay(y, clean, s0, s1) + jnp.tensordot(weights[1:], eps[1:] - eps[0], axes=1)
        return y1, Slopes(eps[:3], levels[:3], jnp.minimum(state.number + 1, 3))


def adams_weights(
    levels: Float[Array, "4"], order: Int[Array, ""], end: NoiseLevel
) -> Float[Array, "4"]:
    """The integrals of Lagrange's polynomials through the first `order` levels, from the first on.

    Two points of Gauss integrate cubics exactly.
    """
    used = jnp.arange(4) < order
    others = used & ~jnp.eye(4, dtype=bool)
    apart = jnp.where(others, levels[:, None] - levels, 1)
    half = (end - levels[0]) / 2
    points = levels[0] + half * (1 + jnp.asarray([-1, 1], levels.dtype) / 3**0.5)
    factors = jnp.where(others, (points[:, None, None] - levels) / apart, 1)
    return half * jnp.where(used, jnp.prod(factors, axis=-1).sum(0), 0)
