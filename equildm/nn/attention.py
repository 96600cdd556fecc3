"""Attention with its projections."""

from collections.abc import Callable

import equinox as eqx
import numpy as np
from einops import rearrange
from jaxtyping import Array, Bool, Float

from .._types import Key
from ._init import split_key
from .kernels import fused_attend
from .linear import Linear
from .positions import rotated


class CrossAttn(eqx.Module):
    """Multi-head attention from a sequence to a context; self-attention when the two are one.

    The number of heads is fixed and their width follows the channels, as in Stable Diffusion 1:
    8 heads at every width of the family.
    """

    to_query: Linear
    to_key: Linear
    to_value: Linear
    to_out: Linear
    norm_query: Callable[..., Array] | None = eqx.field(metadata={"before": None})
    norm_key: Callable[..., Array] | None = eqx.field(metadata={"before": None})
    heads: int = eqx.field(static=True)
    attend: Callable[..., Array] = eqx.field(static=True)

    def __init__(
        self,
        channels: int,
        context_width: int,
        heads: int,
        *,
        head_width: int | None = None,
        qkv_bias: bool = False,
        qk_norm: Callable[[int], Callable[..., Array]] | None = None,
        attend: Callable[..., Array] = fused_attend,
        key: Key,
    ):
        """**Arguments:**

        - `channels`: width of the sequence, in and out.
        - `context_width`: width of the sequence that it attends to.
        - `heads`: number of heads.
        - `head_width`: width of each, by default `channels / heads`.
        - `qkv_bias`: whether query, key and value have a bias.
        - `qk_norm`: makes the norms of every head's queries and keys, `qk_norm(head_width)`, such
            as `RMSNorm` (Dehghani et al. 2023, section 2.1); by default there are none.
        - `attend`: the attention itself, `(query, key, value, mask)`.
        - `key`: for the initial weights.
        """
        if heads < 1:
            raise ValueError(f"CrossAttn has at least one head, received heads={heads}.")
        if head_width is None:
            if channels % heads:
                raise ValueError(
                    f"CrossAttn's heads must divide its channels, received heads={heads} and "
                    f"channels={channels}. Choose other heads or give head_width."
                )
            head_width = channels // heads
        qkey, kkey, vkey, okey = split_key(key, 4)
        inner = heads * head_width
        self.to_query = Linear(channels, inner, bias=qkv_bias, key=qkey)
        self.to_key = Linear(context_width, inner, bias=qkv_bias, key=kkey)
        self.to_value = Linear(context_width, inner, bias=qkv_bias, key=vkey)
        self.to_out = Linear(inner, channels, key=okey)
        self.norm_query = None if qk_norm is None else qk_norm(head_width)
        self.norm_key = None if qk_norm is None else qk_norm(head_width)
        self.heads = heads
        self.attend = attend

    def __call__(
        self,
        x: Float[Array, "queries channels"],
        context: Float[Array, "keys context_width"],
        mask: Bool[Array, "keys"] | None = None,
        rotation: Float[Array | np.ndarray, "queries pairs"] | None = None,
    ) -> Float[Array, "queries channels"]:
        """**Arguments:**

        - `x`: the sequence.
        - `context`: the sequence that it attends to.
        - `mask`: true where the context may be attended to.
        - `rotation`: angles of `RotaryPositions` for self-attention.
        """
        if context.shape[-1] != self.to_key.weight.shape[0]:
            raise ValueError(
                f"CrossAttn was built for a context of width {self.to_key.weight.shape[0]}, "
                f"received {context.shape[-1]}. Use the text encoder that the network was "
                "trained with, or build the network with that context_width."
            )
        split = "tokens (heads width) -> tokens heads width"
        query = rearrange(self.to_query(x), split, heads=self.heads)
        key = rearrange(self.to_key(context), split, heads=self.heads)
        value = rearrange(self.to_value(context), split, heads=self.heads)
        if self.norm_query is not None and self.norm_key is not None:
            query, key = self.norm_query(query), self.norm_key(key)
        if rotation is not None:
            query, key = rotated(query, rotation), rotated(key, rotation)
        out = self.attend(query, key, value, mask)
        return self.to_out(rearrange(out, "tokens heads width -> tokens (heads width)"))
