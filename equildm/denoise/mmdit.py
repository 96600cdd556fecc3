"""The text-to-image transformer whose image and caption attend to both."""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Bool, Float

from .._types import Key
from ..nn import (
    BlockStack,
    Linear,
    PatchEmbed,
    Positions,
    SincosPositions,
    split_key,
    TextProjection,
    TimeEmbedding,
)
from .abstract_transformer import AbstractTransformer, BlockInputs, check_copied
from .blocks import Module
from .mmdit_block import MMDiTBlock, second_attention, Streams
from .transformer_parts import check_heads, FinalLayer


class MMDiT(AbstractTransformer):
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
        check_heads(heads, width)
        if not 0 <= dual_depth < depth:
            raise ValueError(
                "An MMDiT has a last block, and before it dual_depth blocks with a second "
                f"attention; received depth={depth} and dual_depth={dual_depth}."
            )
        keys = iter(split_key(key, 8))
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

    def block_stacks(self) -> tuple[BlockStack, ...]:
        """See `AbstractTransformer`."""
        return self.stacks

    def with_block_stacks(self, stacks: tuple[BlockStack, ...]) -> "MMDiT":
        """See `AbstractTransformer`."""
        return eqx.tree_at(lambda network: network.stacks, self, stacks)

    def block_inputs(
        self,
        tokens: Float[Array, "tokens width"],
        condition: Float[Array, "width"],
        context: Float[Array, "words context_width"],
        mask: Bool[Array, "words"],
        rotation: Any,
    ) -> BlockInputs:
        """See `AbstractTransformer`."""
        return BlockInputs((tokens, self.caption(context)), (condition, mask, rotation))

    def residual_sources(self, copied: int) -> tuple[int | None, ...]:
        """See `AbstractTransformer`.

        Block `i` has the residual of the copied block `i / (depth / copied)`, rounded down, as in
        Stable Diffusion 3. The last block has none, so that of more than half of the blocks the
        last copy would lead nowhere.
        """
        depth = self.depth
        check_copied(copied, depth // 2)
        return (*(int(i / (depth / copied)) for i in range(depth - 1)), None)
