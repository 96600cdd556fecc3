"""The block of a multimodal diffusion transformer: image and caption attend to both."""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Array, Bool, Float

from .._types import Key
from ..nn import AbstractBlock, CrossAttn, JointAttn, MLP, modulate, Modulation, split_key
from .blocks import Module
from .dit_block import plain_norm

Streams = tuple[Float[Array, "positions width"], Float[Array, "tokens width"]]
"""The tokens of the image and those of the caption."""

JointModule = Callable[..., tuple[Array, Array | None]]


class MMDiTBlock(AbstractBlock):
    """Joint attention and a feed-forward layer for either stream (Esser et al. 2024, figure 2b).

    Both streams have weights of their own, and shifts, scales and gates as in a `DiTBlock`. The
    block starts as the identity.
    """

    modulation: Module
    text_modulation: Module
    norm: Module
    attention: JointModule
    self_attention: Module | None
    feed_forward: Module
    text_feed_forward: Module | None

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        updates_text: bool = True,
        self_attention: Callable[..., Module] | None = None,
        attention: Callable[..., JointModule] = JointAttn,
        feed_forward: Callable[..., Module] = MLP,
        modulation: Callable[..., Module] = Modulation,
        norm: Callable[[int], Module] = plain_norm,
        key: Key,
    ):
        """**Arguments:**

        - `width`, `heads`: sizes, of both streams.
        - `updates_text`: false for the last block of a network, whose caption nobody reads. Its
            text has a shift and a scale only.
        - `self_attention`: makes a second attention, of the image alone, as in Stable Diffusion
            3.5 medium, `self_attention(width, width, heads, key=)`; by default there is none.
        - `attention`: makes the joint attention, `attention(width, heads, updates_text=, key=)`.
        - `feed_forward`: makes both feed-forward layers, `feed_forward(width, key=)`.
        - `modulation`: makes both modulations, `modulation(width, parts, key=)`.
        - `norm`: makes the norm in front of every layer, `norm(width)`. It has no weights of its
            own, so that one serves all.
        - `key`: for the initial weights.
        """
        keys = split_key(key, 6)
        self.modulation = modulation(width, 6 if self_attention is None else 9, key=keys[0])
        self.text_modulation = modulation(width, 6 if updates_text else 2, key=keys[1])
        self.norm = norm(width)
        self.attention = attention(width, heads, updates_text=updates_text, key=keys[2])
        self.self_attention = (
            None if self_attention is None else self_attention(width, width, heads, key=keys[3])
        )
        self.feed_forward = feed_forward(width, key=keys[4])
        self.text_feed_forward = feed_forward(width, key=keys[5]) if updates_text else None

    def __call__(
        self,
        streams: Streams,
        condition: Float[Array, "width"],
        mask: Bool[Array, "tokens"] | None = None,
        rotation: Float[Array | np.ndarray, "positions pairs"] | None = None,
    ) -> Streams:
        """**Arguments:**

        - `streams`: the tokens of the image and of the caption.
        - `condition`: what `modulation` takes: the embedded time, with the caption's vector.
        - `mask`: true where the caption's tokens are real.
        - `rotation`: angles of `RotaryPositions` for the image, if any.
        """
        image, text = streams
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate, *second = self.modulation(condition)
        text_shift, text_scale, *text_rest = self.text_modulation(condition)
        normed = self.norm(image)
        attended, text_attended = self.attention(
            modulate(normed, shift, scale),
            modulate(self.norm(text), text_shift, text_scale),
            mask,
            rotation,
        )
        image = image + gate * attended
        if self.self_attention is not None:
            shift, scale, gate = second
            y = modulate(normed, shift, scale)
            image = image + gate * self.self_attention(y, y, rotation=rotation)
        y = modulate(self.norm(image), mlp_shift, mlp_scale)
        image = image + mlp_gate * self.feed_forward(y)
        if self.text_feed_forward is None:
            return image, text
        assert text_attended is not None  # as the block was built
        text_gate, mlp_shift, mlp_scale, mlp_gate = text_rest
        text = text + text_gate * text_attended
        y = modulate(self.norm(text), mlp_shift, mlp_scale)
        return image, text + mlp_gate * self.text_feed_forward(y)


second_attention = partial(CrossAttn, qkv_bias=True)
"""The attention of the image alone in Stable Diffusion 3.5: an argument of `MMDiTBlock`."""
