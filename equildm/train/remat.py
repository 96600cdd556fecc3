"""The blocks of a network inside a step: what is kept of them until the backward pass.

Activations may be forgotten in the forward pass and computed again backwards. On a mesh with an
axis `fsdp` the weights of a block are gathered for that block alone, in the dtype of its
arithmetic, and gathered again backwards: no device holds more than its shards and a block.
"""

from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
from jaxtyping import Array

from ..denoise.unet import Stage
from ..nn import Downsample, Upsample
from ..runtime.inside import gathers, has_shards, splits_weights

Remat = Literal["none", "blocks", "dots"]

_POLICIES: dict[str, Callable[..., bool]] = {
    "none": lambda primitive, *_, **__: not gathers(primitive),
    "blocks": jax.checkpoint_policies.nothing_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}

BLOCKS = (Stage, Downsample, Upsample)
"""What a UNet is made of: each holds at most one kernel of weights at a time."""


class Rematerialised(eqx.Module):
    """A module whose activations are computed twice instead of kept, and its weights gathered."""

    module: Callable[..., Array]
    policy: str = eqx.field(static=True)

    def __call__(self, x: Array, *args: Any) -> Array:
        def call(module: Any, x: Array, *args: Any) -> Array:
            if splits:
                # Gathered when the block's input is there: neither before, nor out of a loop.
                arrays, static = eqx.partition(module, eqx.is_array)
                arrays, x = jax.lax.optimization_barrier((arrays, x))
                module = eqx.combine(arrays, static)
            return module(x, *args)

        splits = has_shards(self.module)
        return jax.checkpoint(call, policy=_POLICIES[self.policy])(self.module, x, *args)


def rematerialise(
    network: Any, policy: Remat, kinds: type | tuple[type, ...] = BLOCKS
) -> Callable[..., Array]:
    """`network` with every block of `kinds` wrapped.

    Wrap at the point of use, inside the loss: what is trained and stored is the plain network.

    **Arguments:**

    - `network`: any module that contains such blocks.
    - `policy`: `"none"` keeps every activation; `"blocks"` keeps the blocks' inputs only (least
        memory, about a third more arithmetic); `"dots"` also keeps products with weights.
    - `kinds`: classes of the blocks. They are called with an array of the compute dtype first.
    """
    if policy not in _POLICIES:
        raise ValueError(
            f"A rematerialisation policy is 'none', 'blocks' or 'dots', received {policy!r}."
        )
    if policy == "none" and not splits_weights():
        return network

    def is_block(node: Any) -> bool:
        return isinstance(node, kinds)

    return jax.tree.map(
        lambda node: Rematerialised(node, policy) if is_block(node) else node,
        network,
        is_leaf=is_block,
    )
