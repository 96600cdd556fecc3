"""The trained copy of a transformer's first blocks."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._types import Key, Latent, Time
from ..nn import AbstractBlock, BlockStack, Linear, shapes_of
from ..runtime import copied
from .abstract_transformer import AbstractTransformer, image_tokens, Residuals
from .blocks import Module
from .control_branch import AbstractControlBranch, ControlCondition
from .control_hint import HintEncoder


class CopiedBlock(AbstractBlock):
    """A block of a transformer, and a linear map of the image's tokens after it.

    **Fields:**

    - `block`: the copy.
    - `output`: zero at first.
    """

    block: Module
    output: Linear

    def __call__(
        self, stream: PyTree, *args: PyTree
    ) -> tuple[PyTree, Float[Array, "tokens width"]]:
        """What passes to the next block, and the residual."""
        stream = self.block(stream, *args)
        return stream, self.output(image_tokens(stream))


class TransformerControlBranch(AbstractControlBranch):
    """The branch of a transformer: the residuals are added to the image's tokens after its blocks.

    The first blocks are copied, with all that is in front of them (Chen et al. 2024, PixArt-delta,
    section 4; `SD3ControlNetModel` of diffusers). The control image enters behind the embedding of
    the patches. Which block gets which residual is the transformer's to say, `residual_sources`.

    **Fields:**

    - `network`: the transformer with its first blocks alone, and without its last layer.
    - `hint`: encodes the control image.
    - `sources`: for each block of the transformer the copied block that its residual is of.
    """

    network: AbstractTransformer
    hint: HintEncoder
    sources: tuple[int | None, ...] = eqx.field(static=True)

    def __init__(
        self,
        network: AbstractTransformer,
        image_channels: int,
        hint_channels: Sequence[int],
        *,
        blocks: int | None = None,
        key: Key,
    ):
        """**Arguments:**

        - `network`: the transformer that is to be controlled; its arrays are copied.
        - `image_channels`, `hint_channels`: see `HintEncoder`.
        - `blocks`: how many blocks are copied; by default half of them.
        - `key`: for the hint encoder's initial weights.

        **Raises** `ValueError` for more blocks than can be copied.
        """
        blocks = max(1, network.depth // 2) if blocks is None else blocks
        self.sources = network.residual_sources(blocks)
        stacks = []
        for stack in network.block_stacks():
            count = min(blocks, stack.depth)
            if count:
                stacks.append(stack.first(count))
            blocks -= count
        first = eqx.tree_at(lambda network: network.final, network, None)
        copy = copied(first.with_block_stacks(tuple(stacks)))
        width, patch = network.embed.projection.weight.shape[-1], network.embed.patch
        self.network = copy.with_block_stacks(
            tuple(_with_outputs(stack, width) for stack in copy.block_stacks())
        )
        self.hint = HintEncoder(image_channels, width, hint_channels, patch=patch, key=key)

    def __call__(self, x: Latent, t: Time, condition: ControlCondition) -> Residuals:
        """The residuals; arguments as of `ControlNet`."""
        hint = self.hint(condition.image, x)
        inputs, _ = self.network.embedded(x, self.network.time(t), condition.text, hint)
        stream, residuals = inputs.stream, []
        for stack in self.network.block_stacks():
            stream, some = stack.collect(stream, *inputs.rest)
            residuals.append(some)
        # The last row is of the blocks that have none.
        rows = jnp.concatenate([*residuals, jnp.zeros_like(residuals[0][:1])])
        return rows[np.array([-1 if source is None else source for source in self.sources])]

    @property
    def outputs(self) -> PyTree:
        """See `AbstractControlBranch`."""
        copies: Iterator[Any] = (stack.stacked for stack in self.network.block_stacks())
        return tuple(copy.output for copy in copies)


def _with_outputs(stack: BlockStack, width: int) -> BlockStack:
    """The stack of the blocks with a linear map after each, which is zero."""
    one = shapes_of(partial(Linear, width, width))
    output = jax.tree.map(lambda leaf: jnp.zeros((stack.depth, *leaf.shape), leaf.dtype), one)
    blocks = CopiedBlock(stack.stacked, output)
    return eqx.tree_at(lambda stack: stack.stacked, stack, blocks)
