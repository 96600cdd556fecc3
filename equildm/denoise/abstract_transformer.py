"""What every transformer of latents does: patches to tokens, blocks, and tokens back to patches."""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from .._types import Latent, TextEmbedding
from ..nn import BlockStack, PatchEmbed, Positions, unpatchify
from .backbone import AbstractBackbone
from .blocks import Module
from .transformer_parts import check_inputs, FinalLayer

Residuals = Float[Array, "blocks tokens features"]
"""What is added to the image's tokens after each block of a transformer: see `ControlNet`."""


class BlockInputs(NamedTuple):
    """What the blocks of a transformer take."""

    stream: PyTree
    """What passes from block to block. Its first array holds the image's tokens."""
    rest: tuple[PyTree, ...]
    """What is the same for every block."""


class AbstractTransformer(AbstractBackbone):
    """A network on patches of a latent. Its subclasses differ in their blocks.

    **Fields:** those of `AbstractBackbone`, and

    - `embed`: makes a token of each patch.
    - `pooled`: projects a caption's pooled vector, which is added to the time.
    - `final`: the last layer. The copy that a `ControlNet` makes has none.
    - `positions`: vectors that are added to the tokens.
    - `rotary`: angles that turn queries and keys.
    """

    embed: eqx.AbstractVar[PatchEmbed]
    pooled: eqx.AbstractVar[Module | None]
    final: eqx.AbstractVar[FinalLayer | None]
    positions: eqx.AbstractVar[Positions | None]
    rotary: eqx.AbstractVar[Positions | None]

    @abc.abstractmethod
    def block_stacks(self) -> tuple[BlockStack, ...]:
        """The blocks, in order."""

    @abc.abstractmethod
    def with_block_stacks(self, stacks: tuple[BlockStack, ...]) -> "AbstractTransformer":
        """The same network with other blocks."""

    @abc.abstractmethod
    def block_inputs(
        self,
        tokens: Float[Array, "tokens width"],
        condition: Float[Array, "width"],
        context: Float[Array, "words context_width"],
        mask: Bool[Array, "words"],
        rotation: Any,
    ) -> BlockInputs:
        """What the blocks take, of the image's tokens, the time and the caption's tokens."""

    def residual_sources(self, copied: int) -> tuple[int | None, ...]:
        """For each block, which of `copied` copied blocks has the residual that is added after it.

        Block `i` has the residual of the copied block `i` (Chen et al. 2024, PixArt-delta, section
        4), and those behind have none. **Raises** `ValueError` for more than there are.
        """
        depth = self.depth
        check_copied(copied, depth)
        return (*range(copied), *[None] * (depth - copied))

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return sum(stack.depth for stack in self.block_stacks())

    def at(
        self,
        x: Latent,
        time: Float[Array, "time_width"],
        text: TextEmbedding,
        residuals: Residuals | None = None,
    ) -> Float[Array, "height width out_channels"]:
        """See `AbstractBackbone`. `residuals` has one entry for each block."""
        assert self.final is not None, "a copied branch is called by its ControlNet alone"
        (stream, rest), condition = self.embedded(x, time, text)
        if residuals is not None:
            _check_residuals(residuals, (self.depth, *image_tokens(stream).shape))
        start = 0
        for stack in self.block_stacks():
            if residuals is None:
                stream = stack(stream, *rest)
            else:
                steered = eqx.tree_at(lambda stack: stack.stacked, stack, Steered(stack.stacked))
                stream = steered(stream, *rest, each=residuals[start : start + stack.depth])
                start += stack.depth
        height, width, _ = x.shape
        tokens = self.final(image_tokens(stream), condition)
        return unpatchify(tokens, height, width, self.embed.patch)

    def embedded(
        self,
        x: Latent,
        time: Float[Array, "time_width"],
        text: TextEmbedding,
        extra: Float[Array, "tokens features"] | None = None,
    ) -> tuple[BlockInputs, Float[Array, "features"]]:
        """What the blocks take, and the condition of the last layer.

        `extra` is added to the tokens of the latent's patches.
        """
        check_inputs(self.embed, self.context_width, self.pooled, x, text)
        (height, width, _), patch = x.shape, self.embed.patch
        tokens = self.embed(x)
        grid = height // patch, width // patch
        if self.positions is not None:
            tokens = tokens + self.positions(*grid).astype(x.dtype)
        if extra is not None:
            tokens = tokens + extra
        rotation = None if self.rotary is None else self.rotary(*grid)

        condition = time.astype(x.dtype)
        if self.pooled is not None and text.pooled is not None:
            condition = condition + self.pooled(text.pooled.astype(x.dtype))
        context = text.tokens.astype(x.dtype)
        return self.block_inputs(tokens, condition, context, text.mask, rotation), condition

    def widened(self, channels: int) -> "AbstractTransformer":
        """See `AbstractBackbone`."""
        return eqx.tree_at(lambda network: network.embed, self, self.embed.widened(channels))


class Steered(eqx.Module):
    """A block after which a residual, its last argument, is added to the image's tokens."""

    block: Module

    def __call__(self, stream: PyTree, *args: PyTree) -> PyTree:
        *rest, residual = args
        tokens, *others = jax.tree.leaves(self.block(stream, *rest))
        tokens = tokens + residual.astype(tokens.dtype)
        return jax.tree.unflatten(jax.tree.structure(stream), [tokens, *others])


def image_tokens(stream: PyTree) -> Float[Array, "tokens width"]:
    """The image's tokens of what passes from block to block."""
    return jax.tree.leaves(stream)[0]


def check_copied(copied: int, most: int) -> None:
    """**Raises** `ValueError` for a number of copied blocks that is not 1 to `most`."""
    if not 1 <= copied <= most:
        raise ValueError(
            f"A ControlNet of this transformer copies 1 to {most} of its blocks, received "
            f"blocks={copied}. Choose half of them, for instance."
        )


def _check_residuals(residuals: Residuals, shape: tuple[int, ...]) -> None:
    if jnp.shape(residuals) != shape:
        raise ValueError(
            f"Residuals are added to the tokens after every block, {shape}; received "
            f"{jnp.shape(residuals)}. Make them with a ControlNet of this network."
        )
