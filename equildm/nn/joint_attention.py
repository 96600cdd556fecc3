"""Attention of two sequences to both, each with its own projections."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Bool, Float

from .._types import Key
from ._init import split_key
from .kernels import fused_attend
from .linear import Linear
from .positions import rotated

Norm = Callable[..., Array]


class JointAttn(eqx.Module):
    """Multi-head attention over the tokens of an image and of its caption together.

    Each sequence has its own query, key, value and output; the attention is one, over the image's
    tokens followed by the caption's (MMDiT, Esser et al. 2024, figure 2b).
    """

    to_query: Linear
    to_key: Linear
    to_value: Linear
    to_out: Linear
    to_query_text: Linear
    to_key_text: Linear
    to_value_text: Linear
    to_out_text: Linear | None
    norms: tuple[Norm, Norm, Norm, Norm] | None
    heads: int = eqx.field(static=True)
    attend: Callable[..., Array] = eqx.field(static=True)

    def __init__(
        self,
        channels: int,
        heads: int,
        *,
        head_width: int | None = None,
        qkv_bias: bool = True,
        qk_norm: Callable[[int], Norm] | None = None,
        updates_text: bool = True,
        attend: Callable[..., Array] = fused_attend,
        key: Key,
    ):
        """**Arguments:**

        - `channels`: width of both sequences, in and out.
        - `heads`, `head_width`, `qkv_bias`, `attend`: as of `CrossAttn`.
        - `qk_norm`: makes the norms of query and key of the image, then of the text, by the width
            of a head; by default there are none.
        - `updates_text`: whether the text has an output. The last block of a network has no use
            for it.
        - `key`: for the initial weights.

        **Raises** `ValueError` for heads that do not divide the channels.
        """
        if head_width is None:
            if heads < 1 or channels % heads:
                raise ValueError(
                    f"JointAttn's heads must divide its channels, received heads={heads} and "
                    f"channels={channels}. Choose other heads or give head_width."
                )
            head_width = channels // heads
        keys = iter(split_key(key, 8))
        inner = heads * head_width

        def into() -> Linear:
            return Linear(channels, inner, bias=qkv_bias, key=next(keys))

        self.to_query, self.to_key, self.to_value = into(), into(), into()
        self.to_query_text, self.to_key_text, self.to_value_text = into(), into(), into()
        self.to_out = Linear(inner, channels, key=next(keys))
        self.to_out_text = Linear(inner, channels, key=next(keys)) if updates_text else None
        width = head_width
        self.norms = (
            None
            if qk_norm is None
            else (qk_norm(width), qk_norm(width), qk_norm(width), qk_norm(width))
        )
        self.heads = heads
        self.attend = attend

    def __call__(
        self,
        image: Float[Array, "positions channels"],
        text: Float[Array, "tokens channels"],
        mask: Bool[Array, "tokens"] | None = None,
        rotation: Float[Array | np.ndarray, "positions pairs"] | None = None,
    ) -> tuple[Float[Array, "positions channels"], Float[Array, "tokens channels"] | None]:
        """The outputs of both sequences; `None` for a text without one.

        **Arguments:**

        - `image`, `text`: the two sequences.
        - `mask`: true where the text is real. Nothing attends to its padding.
        - `rotation`: angles of `RotaryPositions` for the image.
        """
        query, key = self._heads(self.to_query, image), self._heads(self.to_key, image)
        text_query = self._heads(self.to_query_text, text)
        text_key = self._heads(self.to_key_text, text)
        if self.norms is not None:
            norm_query, norm_key, norm_text_query, norm_text_key = self.norms
            query, key = norm_query(query), norm_key(key)
            text_query, text_key = norm_text_query(text_query), norm_text_key(text_key)
        if rotation is not None:
            query, key = rotated(query, rotation), rotated(key, rotation)
        if mask is not None:
            mask = jnp.concatenate([jnp.ones(len(image), bool), mask])
        values = self._heads(self.to_value, image), self._heads(self.to_value_text, text)
        out = self.attend(
            jnp.concatenate([query, text_query]),
            jnp.concatenate([key, text_key]),
            jnp.concatenate(values),
            mask,
        )
        out = rearrange(out, "tokens heads width -> tokens (heads width)")
        image_out, text_out = out[: len(image)], out[len(image) :]
        return self.to_out(image_out), (
            None if self.to_out_text is None else self.to_out_text(text_out)
        )

    def _heads(
        self, layer: Linear, x: Float[Array, "tokens channels"]
    ) -> Float[Array, "tokens heads width"]:
        return rearrange(layer(x), "tokens (heads width) -> tokens heads width", heads=self.heads)
