"""Many small arrays as two vectors, so that what treats all parameters alike is a few kernels.

A UNet has hundreds of biases, norms and small kernels. AdamW and two averages make eight fused
kernels of each: for the smallest preset 5,900 of a step's 9,700, and most of the time that XLA
takes to compile the step and to load it again. Packed, they are twenty.
"""

import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..runtime import put
from ..runtime.sharding import SMALL


class Packed(NamedTuple):
    """The leaves of a tree, the small float32 ones end to end.

    Small are those that the sharding rule never splits: packing moves nothing between devices.

    **Fields:**

    - `kernels`: a vector of all small arrays of two axes and more; `None` where there is none.
    - `vectors`: a vector of the other small arrays, or `None`.
    - `others`: the rest, leaf by leaf.
    """

    kernels: Any
    vectors: Any
    others: tuple[Any, ...]


def pack(tree: Any) -> Packed:
    """The leaves of `tree`, packed. Outside of a trace this and `unpack` work on the host, where
    no shape needs a program of its own."""
    groups: dict[str, list[Any]] = {"kernels": [], "vectors": [], "others": []}
    for leaf in jax.tree.leaves(tree):
        groups[_group(leaf)].append(leaf)

    kernels, vectors = groups["kernels"], groups["vectors"]
    if not any(isinstance(leaf, jax.core.Tracer) for leaf in (*kernels, *vectors)):
        kernels, vectors = jax.device_get((kernels, vectors))
        small = jax.device_put((_joined(np, kernels), _joined(np, vectors)))
    else:
        # The barrier keeps the copy out of the kernels that read it: each would make it again.
        small = jax.lax.optimization_barrier((_joined(jnp, kernels), _joined(jnp, vectors)))
    return Packed(small[0], small[1], tuple(groups["others"]))


def unpack(packed: Packed, like: Any) -> Any:
    """The tree again, of the structure and the shapes of `like`, which need not hold data."""
    leaves, structure = jax.tree.flatten(like)
    small: tuple[Any, Any] = packed.kernels, packed.vectors
    held = next((vector for vector in small if vector is not None), None)
    traced = isinstance(held, jax.core.Tracer)
    small = jax.lax.optimization_barrier(small) if traced else jax.device_get(small)
    names = [_group(leaf) for leaf in leaves]
    groups: dict[str, Iterator[Any]] = {}
    for group, vector in zip(("kernels", "vectors"), small, strict=True):
        shapes = [x.shape for x, name in zip(leaves, names, strict=True) if name == group]
        groups[group] = _cut(vector, shapes)
    groups["others"] = iter(packed.others)
    tree = jax.tree.unflatten(structure, [next(groups[name]) for name in names])
    if traced or not isinstance(held, jax.Array):
        return tree
    cut, others = eqx.partition(tree, lambda leaf: isinstance(leaf, np.ndarray))
    whole = jax.tree.map(lambda _: held.sharding, cut)
    return eqx.combine(put(cut, whole), others)


def packed(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """`inner` on packed trees. For transformations that look at no array's shape: AdamW, not
    Adafactor or Muon."""

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        like = updates
        params = None if params is None else pack(params)
        packed_updates, state = inner.update(pack(updates), state, params)
        return unpack(packed_updates, like), state  # type: ignore[arg-type]

    return optax.GradientTransformation(lambda params: inner.init(pack(params)), update)


def _group(leaf: Any) -> Literal["kernels", "vectors", "others"]:
    if not hasattr(leaf, "shape") or leaf.dtype != jnp.float32 or math.prod(leaf.shape) >= SMALL:
        return "others"
    return "kernels" if len(leaf.shape) > 1 else "vectors"


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
