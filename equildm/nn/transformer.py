"""Transformer blocks over the positions of an image, attending to a caption."""

from collections.abc import Callable
from functools import partial

import equinox as eqx
from jaxtyping import Array, Bool, Float

from .._types import Key
from ._init import split_key
from .attention import CrossAttn
from .conv import Conv
from .feed_forward import GEGLU
from .norm import GroupNorm, LayerNorm


class TransformerBlock(eqx.Module):
    """Self-attention, attention to the context, feed-forward; each `x + f(norm(x))`."""

    norm1: Callable[..., Array]
    self_attention: Callable[..., Array]
    norm2: Callable[..., Array]
    cross_attention: Callable[..., Array]
    norm3: Callable[..., Array]
    feed_forward: Callable[..., Array]

    def __init__(
        self,
        channels: int,
        context_width: int,
        heads: int,
        *,
        attention: Callable[..., Callable[..., Array]] = CrossAttn,
        feed_forward: Callable[..., Callable[..., Array]] = GEGLU,
        norm: Callable[[int], Callable[..., Array]] = LayerNorm,
        key: Key,
    ):
        """**Arguments:**

        - `channels`, `context_width`, `heads`: sizes, handed to `attention`.
        - `attention`: makes both attentions, `attention(channels, context_width, heads, key=)`.
        - `feed_forward`: makes the last layer, `feed_forward(channels, key=)`.
        - `norm`: makes the three norms, `norm(channels)`.
        - `key`: for the initial weights.
        """
        skey, ckey, fkey = split_key(key, 3)
        self.norm1 = norm(channels)
        self.self_attention = attention(channels, channels, heads, key=skey)
        self.norm2 = norm(channels)
        self.cross_attention = attention(channels, context_width, heads, key=ckey)
        self.norm3 = norm(channels)
        self.feed_forward = feed_forward(channels, key=fkey)

    def __call__(
        self,
        x: Float[Array, "tokens channels"],
        context: Float[Array, "keys context_width"],
        mask: Bool[Array, "keys"] | None = None,
    ) -> Float[Array, "tokens channels"]:
        normed = self.norm1(x)
        x = x + self.self_attention(normed, normed)
        x = x + self.cross_attention(self.norm2(x), context, mask)
        return x + self.feed_forward(self.norm3(x))


class SpatialTransformer(eqx.Module):
    """Transformer blocks on an image's positions taken as a sequence, added to the image.

    `x + proj_out(blocks(proj_in(norm(x))))`, as in Stable Diffusion (Rombach et al. 2022,
    section 3.3).
    """

    norm: Callable[..., Array]
    proj_in: Conv
    blocks: tuple[Callable[..., Array], ...]
    proj_out: Conv

    def __init__(
        self,
        channels: int,
        context_width: int,
        heads: int,
        *,
        depth: int = 1,
        block: Callable[..., Callable[..., Array]] = TransformerBlock,
        norm: Callable[[int], Callable[..., Array]] = partial(GroupNorm, 32, eps=1e-6),
        key: Key,
    ):
        """**Arguments:**

        - `channels`, `context_width`, `heads`: sizes, handed to `block`.
        - `depth`: number of blocks.
        - `block`: makes one, `block(channels, context_width, heads, key=)`.
        - `norm`: makes the norm in front, `norm(channels)`.
        - `key`: for the initial weights.
        """
        ikey, okey, *bkeys = split_key(key, 2 + depth)
        self.norm = norm(channels)
        self.proj_in = Conv(channels, channels, 1, key=ikey)
        self.blocks = tuple(block(channels, context_width, heads, key=k) for k in bkeys)
        self.proj_out = Conv(channels, channels, 1, key=okey)

    def __call__(
        self,
        x: Float[Array, "height width channels"],
        context: Float[Array, "keys context_width"],
        mask: Bool[Array, "keys"] | None = None,
    ) -> Float[Array, "height width channels"]:
        height, width, channels = x.shape
        tokens = self.proj_in(self.norm(x)).reshape(height * width, channels)
        for block in self.blocks:
            tokens = block(tokens, context, mask)
        return x + self.proj_out(tokens.reshape(height, width, channels))
