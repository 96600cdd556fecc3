"""Rematerialisation: forgetting activations in the forward pass, computing them again backwards."""

from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
from jaxtyping import Array

from ..denoise.unet import Stage

Remat = Literal["none", "blocks", "dots"]

_POLICIES: dict[str, Callable[..., bool]] = {
    "blocks": jax.checkpoint_policies.nothing_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}


class Rematerialised(eqx.Module):
    """A module whose activations are computed twice instead of kept."""

    module: Callable[..., Array]
    policy: str = eqx.field(static=True)

    def __call__(self, *args: Any) -> Array:
        return jax.checkpoint(lambda module, *rest: module(*rest), policy=_POLICIES[self.policy])(
            self.module, *args
        )


def rematerialise(
    network: Any, policy: Remat, kinds: type | tuple[type, ...] = Stage
) -> Callable[..., Array]:
    """`network` with every block of `kinds` wrapped.

    Wrap at the point of use, inside the loss: what is trained and stored is the plain network.

    **Arguments:**

    - `network`: any module that contains such blocks.
    - `policy`: `"none"` keeps everything; `"blocks"` keeps the blocks' inputs only (least memory,
        about a third more arithmetic); `"dots"` also keeps products with weights.
    - `kinds`: classes of the blocks.
    """
    if policy == "none":
        return network

    def is_block(node: Any) -> bool:
        return isinstance(node, kinds)

    if policy not in _POLICIES:
        raise ValueError(
            f"A rematerialisation policy is 'none', 'blocks' or 'dots', received {policy!r}."
        )
    return jax.tree.map(
        lambda node: Rematerialised(node, policy) if is_block(node) else node,
        network,
        is_leaf=is_block,
    )
