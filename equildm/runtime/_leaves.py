"""What counts as an array in a pytree, and how a leaf is named."""

from typing import Any, TypeGuard

import equinox as eqx
import jax
import numpy as np


def is_array(leaf: Any) -> TypeGuard[jax.Array | np.ndarray | jax.ShapeDtypeStruct]:
    """Whether `leaf` has a shape and a dtype: an array on any side, or the description of one."""
    return isinstance(leaf, jax.Array | np.ndarray | jax.ShapeDtypeStruct)


def arrays(tree: Any) -> Any:
    """`tree` with everything else replaced by `None`."""
    return eqx.filter(tree, is_array)


def named(tree: Any) -> dict[str, Any]:
    """The leaves by path, as in `.blocks[0].conv.weight`."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
