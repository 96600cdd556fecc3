"""Rematerialisation: which activations of a network are stored for the backward pass.

Activations may be dropped in the forward pass and computed again in the backward pass. On a mesh
with an axis `fsdp` the weights of a block are gathered for that block alone, in the dtype of its
arithmetic, and gathered again backwards: no device holds more than its shards and one block.
"""

from collections.abc import Callable

import equinox as eqx
import jax
from jaxtyping import PyTree

from .._types import Network
from ..nn import AbstractBlock, BlockStack
from ..runtime.fsdp import gathers, has_shards, splits_weights
from .names import Remat

_POLICIES: dict[str, Callable[..., bool]] = {
    "none": lambda primitive, *_, **__: not gathers(primitive),
    "blocks": jax.checkpoint_policies.nothing_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}


class Rematerialised(eqx.Module):
    """A module whose activations are computed twice instead of stored.

    Weights in shards are gathered when the module runs, in both passes.

    **Fields:**

    - `module`: called with arrays first. That of a `BlockStack` is one block at a time.
    - `policy`: see `rematerialise`.
    """

    module: Callable[..., PyTree]
    policy: Remat = eqx.field(static=True)

    def __call__(self, x: PyTree, *args: PyTree) -> PyTree:
        """See the module's own."""
        splits = has_shards(self.module)

        def call(module: Callable[..., PyTree], x: PyTree, *args: PyTree) -> PyTree:
            if splits:
                # Gathered once the block's input is there: not earlier, and not outside of a loop.
                arrays, static = eqx.partition(module, eqx.is_array)
                arrays, x = jax.lax.optimization_barrier((arrays, x))
                module = eqx.combine(arrays, static)
            return module(x, *args)

        return jax.checkpoint(call, policy=_POLICIES[self.policy])(self.module, x, *args)


def rematerialise(
    network: Network, policy: Remat, blocks: type | tuple[type, ...] = AbstractBlock
) -> Network:
    """The network with each of its blocks wrapped in a `Rematerialised`, those of stacks as well.

    Call this inside of the loss, so that the plain network is what is trained and saved.

    **Arguments:**

    - `network`: any module that contains such blocks.
    - `policy`: `"none"` stores every activation; `"blocks"` stores the inputs of the blocks alone
        (least memory, about a third more arithmetic); `"dots"` stores products with weights too.
    - `blocks`: classes of the blocks, by default what a network marks as one. They are called with
        arrays of the compute dtype first. What a `BlockStack` holds is always a block.

    **Raises** `ValueError` for another policy, and for a network without such blocks.
    """
    if policy not in _POLICIES:
        raise ValueError(
            f"A rematerialisation policy is 'none', 'blocks' or 'dots', received {policy!r}."
        )
    if policy == "none" and not splits_weights():
        return network

    types = (BlockStack, *(blocks if isinstance(blocks, tuple) else (blocks,)))

    def is_block(node: PyTree) -> bool:
        return isinstance(node, types)

    nodes, structure = jax.tree.flatten(network, is_leaf=is_block)
    if policy != "none" and not any(map(is_block, nodes)):
        raise ValueError(
            f"Rematerialisation {policy!r} needs blocks that are computed again, and a "
            f"{type(network).__name__} has none of {blocks}. Name its blocks, or use 'none'."
        )
    return jax.tree.unflatten(
        structure, [_wrapped(node, policy) if is_block(node) else node for node in nodes]
    )


def _wrapped(block: PyTree, policy: Remat) -> PyTree:
    if not isinstance(block, BlockStack):
        return Rematerialised(block, policy)
    wrapped = Rematerialised(block.stacked, policy)
    return eqx.tree_at(lambda stack: stack.stacked, block, wrapped)
