"""The text-to-image transformer whose image and caption attend to both."""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
from jaxtyping import Array, Float

from .._types import Key, Latent, TextEmbedding
from ..nn import (
    BlockStack,
    Linear,
    PatchEmbed,
    Positions,
    SincosPositions,
    TextProjection,
    TimeEmbedding,
    unpatchify,
)
from .backbone import AbstractBackbone
from .blocks import Module
from .mmdit_block import MMDiTBlock, second_attention, Streams
from .transformer_parts import check_inputs, FinalLayer


class MMDiT(AbstractBackbone):
    """The multimodal diffusion transformer of Stable Diffusion 3 (Esser et al. 2024, figure 2).

    The caption's tokens are a second stream beside the image's, with weights of its own, and the
    attention is over both. The time, and the caption's pooled vector where there is one, modulate
    every block. Blocks of one structure are scanned (`BlockStack`); the last block differs from the
    others, and so may the first ones.

    Every part is made by an argument, as in `WidthScaledDiT`.
    """

    embed: PatchEmbed
    time: TimeEmbedding
    caption: Module
    pooled: Module | None
    stacks: tuple[BlockStack, ...]
    final: FinalLayer
    positions: Positions | None = eqx.field(static=True)
    rotary: Positions | None = eqx.field(static=True)
    context_width: int = eqx.field(static=True)

    def __init__(
        self,
        width: int,
        depth: int,
        heads: int,
        *,
        in_channels: int = 4,
        out_channels: int = 4,
        context_width: int = 1024,
        pooled_width: int | None = None,
        patch: int = 2,
        dual_depth: int = 0,
        block: Callable[..., Callable[..., Streams]] = MMDiTBlock,
        self_attention: Callable[..., Module] = second_attention,
        caption: Callable[..., Module] = Linear,
        pooled: Callable[..., Module] = partial(TextProjection, activation=jax.nn.silu),
        final: Callable[..., FinalLayer] = FinalLayer,
        time: Callable[..., TimeEmbedding] = TimeEmbedding,
        positions: Callable[[int], Positions] | None = SincosPositions,
        rotary: Callable[[int], Positions] | None = None,
        scan: bool = True,
        key: Key,
    ):
        """**Arguments:** as of `WidthScaledDiT`, and

        - `depth`: number of blocks, of which the last does not update the caption.
        - `dual_depth`: how many of the first blocks have a second attention, of the image alone
            (Stable Diffusion 3.5 medium).
        - `block`: `block(width, heads, key=)`, with `self_attention=` in the first blocks and
            `updates_text=False` in the last; called as an `MMDiTBlock` is.
        - `self_attention`: makes that attention, `self_attention(width, width, heads, key=)`.

        **Raises** `ValueError` for heads that do not divide the width, and for more first blocks
        than there are before the last.
        """
        if heads < 1 or width % heads:
            raise ValueError(
                f"A transformer's heads divide its width, received heads={heads} and width={width}."
                " Choose heads of 64, for instance."
            )
        if not 0 <= dual_depth < depth:
            raise ValueError(
                "An MMDiT has a last block, and before it dual_depth blocks with a second "
                f"attention; received depth={depth} and dual_depth={dual_depth}."
            )
        keys = iter(jax.random.split(key, 8))
        make = partial(block, width, heads)
        kinds = (
            (dual_depth, partial(make, self_attention=self_attention)),
            (depth - dual_depth - 1, make),
            (1, partial(make, updates_text=False)),
        )
        self.embed = PatchEmbed(in_channels, width, patch, key=next(keys))
        self.time = time(256, width, key=next(keys))
        self.caption = caption(context_width, width, key=next(keys))
        pkey = next(keys)
        self.pooled = None if pooled_width is None else pooled(pooled_width, width, key=pkey)
        self.stacks = tuple(
            BlockStack(kind, count, scan=scan, key=next(keys)) for count, kind in kinds if count
        )
        self.final = final(width, patch * patch * out_channels, key=next(keys))
        self.positions = None if positions is None else positions(width)
        self.rotary = None if rotary is None else rotary(width // heads)
        self.context_width = context_width

    def at(
        self, x: Latent, time: Float[Array, "time_width"], text: TextEmbedding
    ) -> Float[Array, "height width out_channels"]:
        """See `AbstractBackbone`."""
        check_inputs(self.embed, self.context_width, self.pooled, x, text)
        (height, width, _), patch = x.shape, self.embed.patch
        tokens = self.embed(x)
        grid = height // patch, width // patch
        if self.positions is not None:
            tokens = tokens + self.positions(*grid).astype(x.dtype)
        rotation = None if self.rotary is None else self.rotary(*grid)

        condition = time.astype(x.dtype)
        if self.pooled is not None and text.pooled is not None:
            condition = condition + self.pooled(text.pooled.astype(x.dtype))
        streams = tokens, self.caption(text.tokens.astype(x.dtype))
        for stack in self.stacks:
            streams = stack(streams, condition, text.mask, rotation)
        return unpatchify(self.final(streams[0], condition), height, width, patch)

    def widened(self, channels: int) -> "MMDiT":
        """See `AbstractBackbone`."""
        return eqx.tree_at(lambda network: network.embed, self, self.embed.widened(channels))
