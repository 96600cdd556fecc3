"""The memory of multistep methods: the last two clean estimates, and the parabola through them."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..._types import NoiseLevel
from .base import Tensor
from .exponential import step_length

Scalar = Float[Array, ""]


class Memory(NamedTuple):
    """Clean estimates and their levels, newest first; those after the first `known` are padding."""

    cleans: tuple[Tensor, Tensor]
    levels: tuple[NoiseLevel, NoiseLevel]
    known: Int[Array, ""]


def empty(y: Tensor) -> Memory:
    """The memory before the first step."""
    zero, one = jnp.zeros_like(y), jnp.ones((), y.dtype)
    return Memory((zero, zero), (one, one), jnp.asarray(0))


def remember(memory: Memory, clean: Tensor, s: NoiseLevel) -> Memory:
    """The memory with one more estimate."""
    cleans, levels = (clean, memory.cleans[0]), (s, memory.levels[0])
    return Memory(cleans, levels, jnp.minimum(memory.known + 1, 2))


def usable(
    memory: Memory, s1: NoiseLevel, first_order_to: Scalar | float, second_order_to: Scalar | float
) -> tuple[Bool[Array, ""], Bool[Array, ""]]:
    """Whether a step to `s1` may take a slope, and a curvature: steps to 0 take neither."""
    linear = (memory.known > 0) & (s1 > first_order_to) & (s1 > 0)
    return linear, (memory.known > 1) & (s1 > second_order_to) & linear


class Parabola(NamedTuple):
    """The positions of the last estimates, in units of the step, and the divided differences.

    `a = log(s0 / s_prev) / h`, `slope = D[0, a]`, `curvature = D[0, a, b]` (Newton's form). Unknown
    estimates are at -1 and -2; their differences must be masked.
    """

    a: Scalar
    b: Scalar
    slope: Tensor
    curvature: Tensor


def parabola(memory: Memory, clean: Tensor, s0: NoiseLevel, h: Scalar) -> Parabola:
    """Through the estimate at `s0`, where a step of length `h` starts, and the last two."""
    a = jnp.where(memory.known > 0, step_length(s0, memory.levels[0]) / h, -1)
    b = jnp.where(memory.known > 1, step_length(s0, memory.levels[1]) / h, -2)
    slope = (memory.cleans[0] - clean) / a
    before = (memory.cleans[1] - memory.cleans[0]) / (b - a)
    return Parabola(a, b, slope, (before - slope) / b)
