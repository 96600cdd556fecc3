"""What counts as an array in a pytree, and how a leaf is named."""

from typing import Any, TypeGuard, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

T = TypeVar("T")


def is_array(leaf: object) -> TypeGuard[jax.Array | np.ndarray | jax.ShapeDtypeStruct]:
    """Whether `leaf` has a shape and a dtype: an array on any side, or the description of one."""
    return isinstance(leaf, jax.Array | np.ndarray | jax.ShapeDtypeStruct)


def arrays(tree: T) -> T:
    """`tree` with every leaf that is no array replaced by `None`."""
    return eqx.filter(tree, is_array)


def copied(tree: T) -> T:
    """The same tree with arrays of its own, where it lies.

    A training step overwrites ("donates") the arrays that it updates; others keep theirs. No
    program is compiled, unlike for `jnp.copy`, which takes one for each shape.
    """

    def own(leaf: Any) -> Any:
        if isinstance(leaf, jax.core.Tracer):
            return jnp.copy(leaf)
        return jax.device_put(leaf, may_alias=False) if eqx.is_array(leaf) else leaf

    return jax.tree.map(own, tree)


def is_stacked(path: tuple[object, ...] | str) -> bool:
    """Whether a leaf is that of several blocks: its first axis numbers them.

    `nn.BlockStack` keeps its blocks in a field of this name.
    """
    return ".stacked." in (path if isinstance(path, str) else jax.tree_util.keystr(path))


def is_vector(path: tuple[object, ...] | str, ndim: int) -> bool:
    """Whether a leaf is a bias, a scale or a scalar, and no kernel; in a stack, those of blocks."""
    return ndim - is_stacked(path) < 2


def path_name(path: tuple[object, ...]) -> str:
    """A path of `jax.tree_util` as attributes with dots, as in `blocks.0.conv.weight`."""
    return jax.tree_util.keystr(path, simple=True, separator=".")


def named(tree: PyTree) -> dict[str, Any]:
    """The leaves by path, as in `.blocks[0].conv.weight`."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
