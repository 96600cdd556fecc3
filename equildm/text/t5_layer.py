"""The layer of a T5 encoder and its parts."""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Bool, Float

from .._types import Key
from ..nn import Linear, split_key
from ..nn._init import constant
from .attention import biased_attend


class RMSNorm(eqx.Module):
    """`x / sqrt(mean(x^2) + eps) * weight` on the last axis (Zhang & Sennrich 2019)."""

    weight: Float[Array, "channels"]
    eps: float = eqx.field(static=True)

    def __init__(self, channels: int, eps: float = 1e-6):
        """**Arguments:**

        - `channels`: size of the last axis.
        - `eps`: added to the mean square.
        """
        self.weight = constant((channels,), 1.0)
        self.eps = eps

    def __call__(self, x: Float[Array, "*rest channels"]) -> Float[Array, "*rest channels"]:
        x32 = x.astype(jnp.float32)
        square = jnp.mean(x32 * x32, axis=-1, keepdims=True)
        return (x32 * jax.lax.rsqrt(square + self.eps) * self.weight).astype(x.dtype)


class ReLUFeedForward(eqx.Module):
    """`W2 relu(W1 x)`, without biases."""

    to_hidden: Linear
    to_out: Linear

    def __init__(self, width: int, hidden: int, *, key: Key):
        """**Arguments:**

        - `width`, `hidden`: sizes of a token's vector outside and inside.
        - `key`: for the initial weights.
        """
        hkey, okey = split_key(key)
        self.to_hidden = Linear(width, hidden, bias=False, key=hkey)
        self.to_out = Linear(hidden, width, bias=False, key=okey)

    def __call__(self, x: Float[Array, "tokens width"]) -> Float[Array, "tokens width"]:
        return self.to_out(jax.nn.relu(self.to_hidden(x)))


class GatedFeedForward(eqx.Module):
    """`W2 (gelu(Wg x) * W1 x)` without biases (Shazeer 2020), GELU by its tanh approximation."""

    to_gate: Linear
    to_hidden: Linear
    to_out: Linear

    def __init__(self, width: int, hidden: int, *, key: Key):
        """**Arguments:**

        - `width`, `hidden`: sizes of a token's vector outside and inside.
        - `key`: for the initial weights.
        """
        gkey, hkey, okey = split_key(key, 3)
        self.to_gate = Linear(width, hidden, bias=False, key=gkey)
        self.to_hidden = Linear(width, hidden, bias=False, key=hkey)
        self.to_out = Linear(hidden, width, bias=False, key=okey)

    def __call__(self, x: Float[Array, "tokens width"]) -> Float[Array, "tokens width"]:
        gate = jax.nn.gelu(self.to_gate(x), approximate=True)
        return self.to_out(gate * self.to_hidden(x))


class T5Layer(eqx.Module):
    """`x = x + attention(norm1(x))`, then `x + feed_forward(norm2(x))`.

    The attention's products are not divided by `sqrt(head_width)`; instead the initial weights of
    the queries are.
    """

    norm1: RMSNorm
    to_query: Linear
    to_key: Linear
    to_value: Linear
    to_out: Linear
    norm2: RMSNorm
    feed_forward: Callable[[Array], Array]
    heads: int = eqx.field(static=True)

    def __init__(
        self,
        width: int,
        heads: int,
        head_width: int,
        *,
        feed_forward: Callable[..., Callable[[Array], Array]],
        eps: float = 1e-6,
        key: Key,
    ):
        """**Arguments:**

        - `width`: size of a token's vector.
        - `heads`, `head_width`: number and width of the attention's heads.
        - `feed_forward`: makes the feed-forward layer, `feed_forward(width, key=)`.
        - `eps`: epsilon of the norms.
        - `key`: for the initial weights.
        """
        qkey, kkey, vkey, okey, fkey = split_key(key, 5)
        inner = heads * head_width
        query = Linear(width, inner, bias=False, key=qkey)
        smaller = query.weight / math.sqrt(head_width)
        self.norm1 = RMSNorm(width, eps)
        self.to_query = eqx.tree_at(lambda layer: layer.weight, query, smaller)
        self.to_key = Linear(width, inner, bias=False, key=kkey)
        self.to_value = Linear(width, inner, bias=False, key=vkey)
        self.to_out = Linear(inner, width, bias=False, key=okey)
        self.norm2 = RMSNorm(width, eps)
        self.feed_forward = feed_forward(width, key=fkey)
        self.heads = heads

    def __call__(
        self,
        x: Float[Array, "tokens width"],
        bias: Float[Array, "heads tokens tokens"],
        mask: Bool[Array, "tokens"],
    ) -> Float[Array, "tokens width"]:
        normed = self.norm1(x)
        query, key, value = (
            rearrange(layer(normed), "tokens (heads width) -> tokens heads width", heads=self.heads)
            for layer in (self.to_query, self.to_key, self.to_value)
        )
        out = biased_attend(query, key, value, bias, mask[None], 1.0)
        x = x + self.to_out(rearrange(out, "tokens heads width -> tokens (heads width)"))
        return x + self.feed_forward(self.norm2(x))
