"""Blocks of one structure, applied one after the other by a loop that is compiled once."""

import abc
from collections.abc import Callable
from operator import itemgetter
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._types import Key
from ..runtime._leaves import is_array
from ._init import on_host, placed, split_key

X = TypeVar("X", bound=PyTree)


class AbstractBlock(eqx.Module):
    """What is rematerialised, and gathered from its shards, as one.

    A network marks its blocks by this class, and a `BlockStack` is a number of them. See
    `equildm.training.rematerialise`.
    """

    @abc.abstractmethod
    def __call__(self, x: PyTree, *args: PyTree) -> PyTree:
        """`x` holds what passes from block to block, in the dtype of the arithmetic."""


class BlockStack(eqx.Module):
    """`depth` blocks, each with weights of its own.

    They are kept as one block whose arrays have a leading axis of length `depth`, and `lax.scan`
    runs along it: whatever the depth, one block is traced and compiled. A block takes
    `(x, *args)` and returns the next `x`, of the same shapes and dtypes.

    **Fields:**

    - `stacked`: the blocks, stacked.
    - `scan`: whether to scan, or to write the blocks out one after the other.
    """

    stacked: Callable[..., PyTree]
    scan: bool = eqx.field(static=True)

    def __init__(
        self,
        block: Callable[..., Callable[..., PyTree]],
        depth: int,
        *,
        scan: bool = True,
        key: Key,
    ):
        """**Arguments:**

        - `block`: makes one, `block(key=)`. All have the same structure and shapes.
        - `depth`: number of blocks.
        - `scan`: see the class.
        - `key`: for the initial weights.

        **Raises** `ValueError` for a depth below 1.
        """
        if depth < 1:
            raise ValueError(f"A stack has at least 1 block, received depth={depth}. Use 1.")
        self.stacked = _stacked(block, depth, key)
        self.scan = scan

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return jax.tree.leaves(eqx.filter(self.stacked, is_array))[0].shape[0]

    def __call__(self, x: X, *args: PyTree, each: PyTree = None) -> X:
        """Applies the blocks.

        **Arguments:**

        - `x`: what passes from block to block.
        - `args`: the same for every block.
        - `each`: arrays with a leading axis of length `depth`, of which a block gets its own as a
            last argument; by default there are none.
        """
        more = () if each is None else (each,)
        return self._run(lambda block, x, *own: (block(x, *args, *own), None), x, more)[0]

    def collect(self, x: X, *args: PyTree) -> tuple[X, PyTree]:
        """Applies blocks that return `(x, y)`: the last `x`, and every `y`, stacked in order."""
        return self._run(lambda block, x: block(x, *args), x, ())

    def first(self, count: int) -> "BlockStack":
        """The first blocks. **Raises** `ValueError` for more than there are."""
        if not 1 <= count <= self.depth:
            raise ValueError(
                f"The first blocks are 1 to the stack's {self.depth}, received {count}. Take fewer."
            )
        stacked = jax.tree.map(
            lambda leaf: leaf[:count] if eqx.is_array(leaf) else leaf, self.stacked
        )
        return eqx.tree_at(lambda stack: stack.stacked, self, stacked)

    def _run(
        self, apply: Callable[..., tuple[X, PyTree]], x: X, more: tuple[PyTree, ...]
    ) -> tuple[X, PyTree]:
        arrays, static = eqx.partition(self.stacked, eqx.is_array)

        def one(x: X, own: PyTree) -> tuple[X, PyTree]:
            arrays, more = own
            return apply(eqx.combine(arrays, static), x, *more)

        if self.scan:
            return jax.lax.scan(one, x, (arrays, more), length=self.depth)
        outputs = []
        for i in range(self.depth):
            x, output = one(x, jax.tree.map(itemgetter(i), (arrays, more)))
            outputs.append(output)
        return x, jax.tree.map(lambda *ys: jnp.stack(ys), *outputs)

    def __getitem__(self, index: int) -> Callable[..., PyTree]:
        """One block."""
        return jax.tree.map(lambda leaf: leaf[index] if eqx.is_array(leaf) else leaf, self.stacked)


def _stacked(
    block: Callable[..., Callable[..., PyTree]], depth: int, key: Key
) -> Callable[..., PyTree]:
    keys = split_key(key, depth)
    if isinstance(keys[0], jax.core.Tracer):
        return eqx.filter_vmap(lambda key: block(key=key))(jnp.stack(keys))
    # Drawn on the host and stacked there, array by array, so that each goes straight to its shards.
    with on_host():
        blocks = [block(key=key) for key in keys]
    arrays, static = eqx.partition(blocks[0], is_array)
    parts = [jax.tree.leaves(eqx.filter(one, is_array)) for one in blocks]
    del blocks
    leaves = []
    for number in range(len(parts[0])):
        leaves.append(placed(np.stack([np.asarray(one[number]) for one in parts])))
        for one in parts:
            one[number] = None
    return eqx.combine(jax.tree.unflatten(jax.tree.structure(arrays), leaves), static)
