"""Scalars as vectors: the time embedding."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Key, Time
from ._init import split_key
from .linear import Linear


def sinusoid(
    t: Float[Array, ""], width: int, max_period: float = 10000.0, *, closed: bool = False
) -> Float[Array, "width"]:
    """`[cos(t f_i), sin(t f_i)]` with `f_i = max_period^(-2i/width)`, at least float32.

    The order (cosines first) and the frequencies are Stable Diffusion's. Where `closed`,
    `f_i = max_period^(-2i/(width - 2))`, which ends at `max_period` (diffusers' DiT).
    """
    if width % 2:
        raise ValueError(f"sinusoid's width must be even, received {width}. Use {width + 1}.")
    half = width // 2
    t = jnp.asarray(t)
    t = t.astype(jnp.promote_types(t.dtype, jnp.float32))
    count = half - 1 if closed else half
    frequencies = jnp.exp(-math.log(max_period) * jnp.arange(half, dtype=t.dtype) / count)
    angles = t * frequencies
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)])


class TimeEmbedding(eqx.Module):
    """`W2 silu(W1 sinusoid(t))`."""

    hidden: Linear
    out: Linear
    closed: bool = eqx.field(static=True)
    offset: float = eqx.field(static=True)

    def __init__(
        self, width: int, out_width: int, *, closed: bool = False, offset: float = 0.0, key: Key
    ):
        """**Arguments:**

        - `width`: width of the sinusoid.
        - `out_width`: width of the hidden layer and of the result.
        - `closed`: see `sinusoid`.
        - `offset`: added to the time: 1 where a network counts from 1 to 1000.
        - `key`: for the initial weights.
        """
        hkey, okey = split_key(key)
        self.hidden = Linear(width, out_width, key=hkey)
        self.out = Linear(out_width, out_width, key=okey)
        self.closed = closed
        self.offset = offset

    def __call__(
        self, t: Time, shift: Float[Array, "width"] | None = None
    ) -> Float[Array, "out_width"]:
        """The embedding in float32; cast it where the network computes in another dtype.

        `shift` is added to the sinusoid: an embedding of another scalar condition, if any.
        """
        x = sinusoid(t + self.offset, self.hidden.weight.shape[0], closed=self.closed)
        return self.out(jax.nn.silu(self.hidden(x if shift is None else x + shift)))
