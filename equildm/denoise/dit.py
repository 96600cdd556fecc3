"""The text-to-image transformer with adaptive layer norms and attention to captions."""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Bool, Float

from .._types import Key
from ..nn import (
    BlockStack,
    PatchEmbed,
    Positions,
    SincosPositions,
    split_key,
    TextProjection,
    TimeEmbedding,
)
from .abstract_transformer import AbstractTransformer, BlockInputs
from .blocks import Module
from .dit_block import DiTBlock
from .transformer_parts import check_heads, FinalLayer


class WidthScaledDiT(AbstractTransformer):
    """A diffusion transformer (DiT) on patches of a latent, at any width and depth.

    Every patch is a token. Equal blocks follow, which the time modulates and which attend to the
    caption; they are scanned (`BlockStack`), so that the time to compile does not grow with the
    depth. Any height and width that `patch` divides can be taken.

    Every part is made by an argument: another attention, norm, feed-forward layer or kind of
    position is one call and no edit (see the guide, "Composing a transformer").
    """

    embed: PatchEmbed
    time: TimeEmbedding
    caption: Module | None
    pooled: Module | None
    shared: Module | None
    blocks: BlockStack
    final: FinalLayer | None
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
        block: Callable[..., Module] = DiTBlock,
        caption: Callable[..., Module] | None = TextProjection,
        pooled: Callable[..., Module] = partial(TextProjection, activation=jax.nn.silu),
        shared: Callable[..., Module] | None = None,
        final: Callable[..., FinalLayer] = FinalLayer,
        time: Callable[..., TimeEmbedding] = TimeEmbedding,
        positions: Callable[[int], Positions] | None = SincosPositions,
        rotary: Callable[[int], Positions] | None = None,
        scan: bool = True,
        key: Key,
    ):
        """**Arguments:**

        - `width`: of a token.
        - `depth`: number of blocks.
        - `heads`: of every attention.
        - `in_channels`, `out_channels`: channels of the latent in and of the prediction out.
        - `context_width`: width of a caption's token embeddings.
        - `pooled_width`: width of a caption's pooled vector, which is added to the time; by default
            captions have none.
        - `patch`: side of a patch.
        - `block`: `block(width, heads, key=)`, called as a `DiTBlock` is.
        - `caption`: projects the caption's tokens, `caption(context_width, width, key=)`. `None`
            for blocks that attend to none.
        - `pooled`: projects the pooled vector, `pooled(pooled_width, width, key=)`.
        - `shared`: a modulation for all blocks, `shared(width, 6, key=)`, whose blocks have a
            `ModulationTable` (PixArt's adaLN-single); by default each has its own.
        - `final`: the last layer, `final(width, features, key=)`.
        - `time`: embeds the time, `time(256, width, key=)`.
        - `positions`: vectors that are added to the tokens, `positions(width)`.
        - `rotary`: angles that turn queries and keys, `rotary(head_width)`.
        - `scan`: see `BlockStack`.
        - `key`: for the initial weights.

        **Raises** `ValueError` for heads that do not divide the width.
        """
        check_heads(heads, width)
        keys = split_key(key, 7)
        self.embed = PatchEmbed(in_channels, width, patch, key=keys[0])
        self.time = time(256, width, key=keys[1])
        self.caption = None if caption is None else caption(context_width, width, key=keys[2])
        self.pooled = None if pooled_width is None else pooled(pooled_width, width, key=keys[3])
        self.shared = None if shared is None else shared(width, 6, key=keys[4])
        self.blocks = BlockStack(partial(block, width, heads), depth, scan=scan, key=keys[5])
        self.final = final(width, patch * patch * out_channels, key=keys[6])
        self.positions = None if positions is None else positions(width)
        self.rotary = None if rotary is None else rotary(width // heads)
        self.context_width = context_width

    def block_stacks(self) -> tuple[BlockStack, ...]:
        """See `AbstractTransformer`."""
        return (self.blocks,)

    def with_block_stacks(self, stacks: tuple[BlockStack, ...]) -> "WidthScaledDiT":
        """See `AbstractTransformer`."""
        (blocks,) = stacks
        return eqx.tree_at(lambda network: network.blocks, self, blocks)

    def block_inputs(
        self,
        tokens: Float[Array, "tokens width"],
        condition: Float[Array, "width"],
        context: Float[Array, "words context_width"],
        mask: Bool[Array, "words"],
        rotation: Any,
    ) -> BlockInputs:
        """See `AbstractTransformer`."""
        modulation = condition if self.shared is None else self.shared(condition)
        words = None if self.caption is None else self.caption(context)
        return BlockInputs(tokens, (modulation, words, mask, rotation))
