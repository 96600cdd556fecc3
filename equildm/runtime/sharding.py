"""Where each array lives on the mesh: one rule from a parameter's path and shape.

Parameters, EMA and optimiser state hold arrays of the same shapes, so one rule places them all
alike. The rule reads shapes only, so it serves abstract trees as well: a model that fits no single
device is initialised, restored and compiled straight into its shards.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from ._leaves import arrays

Rule = Callable[[str, tuple[int, ...], Mapping[str, int]], PartitionSpec]
"""(path, shape, axis sizes) -> partition. The path reads `.down.blocks[0].conv.weight`; in an
optimiser state it *ends* like that, so a rule on paths should look at the end."""

SMALL = 2**16
"""Arrays with fewer elements stay whole on every device: gathering them costs more than they do."""

BATCH = PartitionSpec(("data", "fsdp"))
"""The leading axis of a batch is split over these mesh axes."""


def partition(
    path: str, shape: tuple[int, ...], sizes: Mapping[str, int], *, small: int = SMALL
) -> PartitionSpec:
    """The rule: split the output features over `tensor`, then input or output features over `fsdp`.

    Kernels of `Conv` (height, width, in, out) and `Linear` (in, out), stacked for a scan or not,
    end in (in, out), and only these two axes are ever split. Each mesh axis takes the output
    axis if it is free and divisible, else the input axis, else it leaves the array whole: a size
    that nothing divides costs memory, never correctness.

    **Arguments:**

    - `path`: of the leaf; not looked at by this rule.
    - `shape`: of the whole array.
    - `sizes`: devices along each mesh axis, `mesh.shape`.
    - `small`: arrays with fewer elements are replicated.
    """
    del path
    spec: list[str | None] = [None] * len(shape)
    if len(shape) >= 2 and math.prod(shape) >= small:
        for name in ("tensor", "fsdp"):
            for axis in (-1, -2):
                size = sizes.get(name, 1)
                divides = size > 1 and shape[axis] % size == 0
                if divides and spec[axis] is None:
                    spec[axis] = name
                    break
    while spec and spec[-1] is None:  # P(None, None) and P() place alike but compare unequal
        spec.pop()
    return PartitionSpec(*spec)


def shardings(tree: Any, mesh: Mesh | AbstractMesh, rule: Rule = partition) -> Any:
    """A `NamedSharding` for each array of `tree` (arrays or `ShapeDtypeStruct`s).

    Leaves without a shape (functions, static values) become `None`, as in
    `eqx.filter(tree, eqx.is_array)`. Serves as `jit`'s `out_shardings`, for `jax.device_put` and
    for `jax.lax.with_sharding_constraint`.
    """

    def place(path, leaf):
        spec = rule(jax.tree_util.keystr(path), leaf.shape, mesh.shape)
        return NamedSharding(mesh, spec)

    return jax.tree_util.tree_map_with_path(place, arrays(tree))


def abstract(tree: Any, mesh: Mesh | AbstractMesh, rule: Rule = partition) -> Any:
    """`tree`'s arrays as `ShapeDtypeStruct`s with their shardings: for restoring a checkpoint
    straight to its shards and for compiling ahead of time."""
    return jax.tree.map(
        lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
        arrays(tree),
        shardings(tree, mesh, rule),
    )


def replicated(mesh: Mesh | AbstractMesh) -> NamedSharding:
    """A whole copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh | AbstractMesh) -> NamedSharding:
    """The leading axis over `data` and `fsdp`, the rest whole."""
    return NamedSharding(mesh, BATCH)


def check_batch(size: int, mesh: Mesh | AbstractMesh) -> int:
    """Returns `size`, the global batch, if the mesh divides it.

    **Raises** `ValueError` when it does not.
    """
    parts = math.prod(mesh.shape.get(name, 1) for name in BATCH[0])
    if size < 1 or size % parts:
        raise ValueError(
            f"A batch, or a slice of one, is split evenly over data x fsdp = {parts} devices, "
            f"received {size} examples. Use a multiple of {parts}, or another mesh."
        )
    return size


def put_batch(batch: Any, mesh: Mesh) -> Any:
    """Places a batch of host arrays on the mesh, the leading axis split over `data` and `fsdp`.

    Every process passes its own part; together these make the global batch, in order of the
    processes. With one process that part is the whole.
    """
    sharding = batch_sharding(mesh)

    def put(x):
        return jax.make_array_from_process_local_data(sharding, np.asarray(x))

    return jax.tree.map(put, batch)
