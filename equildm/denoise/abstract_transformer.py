"""What every transformer of latents does: patches to tokens, blocks, and tokens back to patches."""

import abc
from typing import Any

import equinox as eqx
from jaxtyping import Array, Bool, Float

from .._types import Latent, TextEmbedding
from ..nn import PatchEmbed, Positions, unpatchify
from .backbone import AbstractBackbone
from .blocks import Module
from .transformer_parts import check_inputs, FinalLayer


class AbstractTransformer(AbstractBackbone):
    """A network on patches of a latent. Its subclasses differ in their blocks.

    **Fields:** those of `AbstractBackbone`, and

    - `embed`: makes a token of each patch.
    - `pooled`: projects a caption's pooled vector, which is added to the time.
    - `final`: the last layer.
    - `positions`: vectors that are added to the tokens.
    - `rotary`: angles that turn queries and keys.
    """

    embed: eqx.AbstractVar[PatchEmbed]
    pooled: eqx.AbstractVar[Module | None]
    final: eqx.AbstractVar[FinalLayer]
    positions: eqx.AbstractVar[Positions | None]
    rotary: eqx.AbstractVar[Positions | None]

    @abc.abstractmethod
    def run_blocks(
        self,
        tokens: Float[Array, "tokens width"],
        condition: Float[Array, "width"],
        context: Float[Array, "words context_width"],
        mask: Bool[Array, "words"],
        rotation: Any,
    ) -> Float[Array, "tokens width"]:
        """The image's tokens after all blocks, from the time and the caption's tokens."""

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
        context = text.tokens.astype(x.dtype)
        tokens = self.run_blocks(tokens, condition, context, text.mask, rotation)
        return unpatchify(self.final(tokens, condition), height, width, patch)

    def widened(self, channels: int) -> "AbstractTransformer":
        """See `AbstractBackbone`."""
        return eqx.tree_at(lambda network: network.embed, self, self.embed.widened(channels))
