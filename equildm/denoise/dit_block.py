"""The block of a diffusion transformer that attends to captions."""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Float

from .._types import Key
from ..nn import (
    AbstractBlock,
    CrossAttn,
    LayerNorm,
    MLP,
    modulate,
    Modulation,
    split_key,
    zeroed,
)
from .blocks import Module

plain_norm = partial(LayerNorm, eps=1e-6, affine=False)
"""The norm in front of a layer that is modulated: `plain_norm(width)`."""


class DiTBlock(AbstractBlock):
    """Self-attention, attention to the caption, feed-forward, with adaptive layer norms.

        x = x + gate1 attention(norm(x) (1 + scale1) + shift1)
        x = x + cross_attention(norm(x), caption)
        x = x + gate2 feed_forward(norm(x) (1 + scale2) + shift2)

    DiT (Peebles & Xie 2023, section 3.2) with PixArt's attention to captions (Chen et al. 2023,
    section 2.3). Gates and the output of the cross-attention are zero at first: a block starts as
    the identity.
    """

    modulation: Module
    norm1: Module
    self_attention: Module
    norm2: Module | None
    cross_attention: Module | None
    norm3: Module
    feed_forward: Module

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        modulation: Callable[..., Module] = Modulation,
        self_attention: Callable[..., Module] = partial(CrossAttn, qkv_bias=True),
        cross_attention: Callable[..., Module] | None = partial(CrossAttn, qkv_bias=True),
        feed_forward: Callable[..., Module] = MLP,
        norm1: Callable[[int], Module] = plain_norm,
        norm2: Callable[[int], Module] | None = LayerNorm,
        norm3: Callable[[int], Module] = plain_norm,
        key: Key,
    ):
        """**Arguments:**

        - `width`, `heads`: sizes.
        - `modulation`: makes the shifts, scales and gates, `modulation(width, parts, key=)`.
        - `self_attention`, `cross_attention`: make the attentions,
            `attention(width, context_width, heads, key=)`; without `cross_attention` the block sees
            the caption only through its modulation.
        - `feed_forward`: makes the last layer, `feed_forward(width, key=)`.
        - `norm1`, `norm2`, `norm3`: make the norms in front of the three, `norm(width)`. `None` for
            `norm2` leaves that one out, as PixArt does.
        - `key`: for the initial weights.
        """
        mkey, skey, ckey, fkey = split_key(key, 4)
        self.modulation = modulation(width, 6, key=mkey)
        self.norm1 = norm1(width)
        self.self_attention = self_attention(width, width, heads, key=skey)
        attends = cross_attention is not None
        self.norm2 = norm2(width) if attends and norm2 is not None else None
        self.cross_attention = (
            _starting_at_zero(cross_attention(width, width, heads, key=ckey))
            if cross_attention is not None
            else None
        )
        self.norm3 = norm3(width)
        self.feed_forward = feed_forward(width, key=fkey)

    def __call__(
        self,
        x: Float[Array, "tokens width"],
        condition: Float[Array, "width"] | Float[Array, "6 width"],
        context: Float[Array, "keys width"] | None,
        mask: Bool[Array, "keys"] | None = None,
        rotation: Float[Array | np.ndarray, "tokens pairs"] | None = None,
    ) -> Float[Array, "tokens width"]:
        """**Arguments:**

        - `x`: the image's tokens.
        - `condition`: what `modulation` takes.
        - `context`, `mask`: the caption's tokens at the network's width, and which are real.
        - `rotation`: angles of `RotaryPositions`, if any.
        """
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition)
        y = modulate(self.norm1(x), shift1, scale1)
        x = x + gate1 * self.self_attention(y, y, rotation=rotation)
        if self.cross_attention is not None:
            y = x if self.norm2 is None else self.norm2(x)
            x = x + self.cross_attention(y, context, mask)
        return x + gate2 * self.feed_forward(modulate(self.norm3(x), shift2, scale2))


def _starting_at_zero(attention: Module) -> Module:
    """A `CrossAttn` whose output is zero at first; another attention as it is."""
    if not isinstance(attention, CrossAttn):
        return attention
    return eqx.tree_at(lambda layer: layer.to_out, attention, zeroed(attention.to_out))
