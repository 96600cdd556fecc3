"""Many small arrays as two vectors, so that an optimiser is a few kernels instead of thousands.

A UNet has hundreds of biases, norms and small weights. AdamW and two averages make eight fused
kernels of each: for the smallest preset these are 5,900 of a step's 9,700 kernels, and most of the
time that XLA takes to compile the step and to load it again. Packed, they are twenty.
"""

import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

from ..runtime import put
from ..runtime._leaves import is_stacked, is_vector
from ..runtime.sharding import SMALL


class Packed(NamedTuple):
    """The leaves of a tree, with the small float32 arrays end to end.

    Small arrays are those that the sharding rule never splits, so that packing moves nothing
    between devices. The fields hold arrays, or what stands for them: shapes, shardings, masks.

    **Fields:**

    - `kernels`: one vector of all small arrays with two axes or more; `None` where there are none.
    - `vectors`: one vector of the other small arrays, or `None`. Biases and scales of stacked
        blocks belong to it, whatever their size.
    - `others`: the other leaves, one by one.
    """

    kernels: PyTree
    vectors: PyTree
    others: tuple[PyTree, ...]


def pack(tree: PyTree) -> Packed:
    """The leaves of `tree`, packed.

    Outside of a trace `pack` and `unpack` work on the host, where no shape needs to be compiled.
    """
    groups: dict[str, list[Any]] = {"kernels": [], "vectors": [], "others": []}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        groups[_group(path, leaf)].append(leaf)

    kernels, vectors = groups["kernels"], groups["vectors"]
    if not any(isinstance(leaf, jax.core.Tracer) for leaf in (*kernels, *vectors)):
        kernels, vectors = jax.device_get((kernels, vectors))
        small = jax.device_put((_joined(np, kernels), _joined(np, vectors)))
    else:
        # The barrier keeps the copy out of the kernels that read it: each would make it again.
        small = jax.lax.optimization_barrier((_joined(jnp, kernels), _joined(jnp, vectors)))
    return Packed(small[0], small[1], tuple(groups["others"]))


def unpack(packed: Packed, like: PyTree) -> PyTree:
    """The tree that was packed.

    **Arguments:**

    - `packed`: from `pack`.
    - `like`: a tree of the same structure and shapes. It may hold `ShapeDtypeStruct`s.
    """
    paths, structure = jax.tree_util.tree_flatten_with_path(like)
    leaves = [leaf for _, leaf in paths]
    small: tuple[Any, Any] = packed.kernels, packed.vectors
    sample = next((vector for vector in small if vector is not None), None)
    traced = isinstance(sample, jax.core.Tracer)
    small = jax.lax.optimization_barrier(small) if traced else jax.device_get(small)
    names = [_group(path, leaf) for path, leaf in paths]
    groups: dict[str, Iterator[Any]] = {}
    for group, vector in zip(("kernels", "vectors"), small, strict=True):
        shapes = [x.shape for x, name in zip(leaves, names, strict=True) if name == group]
        groups[group] = _cut(vector, shapes)
    groups["others"] = iter(packed.others)
    tree = jax.tree.unflatten(structure, [next(groups[name]) for name in names])
    if traced or not isinstance(sample, jax.Array):
        return tree
    on_host, others = eqx.partition(tree, lambda leaf: isinstance(leaf, np.ndarray))
    places = jax.tree.map(lambda _: sample.sharding, on_host)
    return eqx.combine(put(on_host, places), others)


def packed(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """The transformation `inner`, applied to packed trees.

    For transformations that treat every number alike, such as AdamW. Adafactor and Muon look at the
    shapes of arrays and must not be packed.
    """

    def update(updates: PyTree, state: PyTree, params: PyTree = None) -> tuple[PyTree, PyTree]:
        like = updates
        params = None if params is None else pack(params)
        packed_updates, state = inner.update(pack(updates), state, params)
        return unpack(packed_updates, like), state  # type: ignore[arg-type]

    return optax.GradientTransformation(lambda params: inner.init(pack(params)), update)


def _group(path: tuple[Any, ...], leaf: Any) -> Literal["kernels", "vectors", "others"]:
    if not hasattr(leaf, "shape") or leaf.dtype != jnp.float32:
        return "others"
    vector = is_vector(path, len(leaf.shape))
    if math.prod(leaf.shape) >= SMALL and not (vector and is_stacked(path)):
        return "others"
    return "vectors" if vector else "kernels"


def _joined(module: Any, leaves: list[Any]) -> Any:
    # Not an empty vector: a checkpoint cannot hold one.
    return module.concatenate([leaf.reshape(-1) for leaf in leaves]) if leaves else None


def _cut(vector: Any, shapes: list[tuple[int, ...]]) -> Iterator[Any]:
    """The arrays of these shapes that lie end to end in `vector`."""
    if not shapes:
        return
    sizes = [math.prod(shape) for shape in shapes]
    starts: Any = np.cumsum([0, *sizes], dtype=np.int32)[:-1]
    if isinstance(vector, np.ndarray):
        for start, size, shape in zip(starts, sizes, shapes, strict=True):
            yield vector[start : start + size].reshape(shape)
        return
    # XLA compiles equal kernels once. Behind the barrier it cannot see where a slice begins, so
    # that slices of one size are equal: 686 compile in 1 s instead of 7.
    starts = jax.lax.optimization_barrier(list(starts))
    for start, size, shape in zip(starts, sizes, shapes, strict=True):
        yield jax.lax.dynamic_slice(vector, (start,), (size,)).reshape(shape)
