"""Where each array lies on the mesh: one rule from a parameter's path and shape.

Parameters, EMA and optimiser state hold arrays of the same shapes, so one rule places them alike.
The rule reads only shapes, so it serves abstract trees as well: a model that is too large for any
single device is initialised, restored and compiled straight into its shards.
"""

import math
from collections.abc import Callable, Mapping

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from .._types import Batch
from ._leaves import arrays, is_vector

Rule = Callable[[str, tuple[int, ...], Mapping[str, int]], PartitionSpec]
"""(path, shape, axis sizes) -> partition. A path looks like `.down.blocks[0].conv.weight`; in an
optimiser state it *ends* like that, so a rule on paths should look at the end."""

SMALL = 2**16
"""Arrays with fewer elements are replicated: gathering them costs more than storing them."""

BATCH = PartitionSpec(("data", "fsdp"))
"""The leading axis of a batch is split over these mesh axes."""


def partition(
    path: str, shape: tuple[int, ...], sizes: Mapping[str, int], *, small: int = SMALL
) -> PartitionSpec:
    """The rule: split the output features over `tensor`, then input or output features over `fsdp`.

    Kernels of `Conv` (height, width, in, out) and `Linear` (in, out), stacked for a scan or not,
    end in (in, out), and only these two axes are ever split; biases and scales never are, those of
    stacked blocks included. Each mesh axis splits the output
    axis if it is free and divisible, else the input axis, else none: a size that nothing divides
    costs memory, never correctness.

    **Arguments:**

    - `path`: path of the leaf. It says whether blocks are stacked.
    - `shape`: shape of the complete array.
    - `sizes`: devices along each mesh axis, `mesh.shape`.
    - `small`: arrays with fewer elements are replicated.
    """
    spec: list[str | None] = [None] * len(shape)
    if not is_vector(path, len(shape)) and math.prod(shape) >= small:
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


def shardings(tree: PyTree, mesh: Mesh | AbstractMesh, rule: Rule = partition) -> PyTree:
    """A `NamedSharding` for each array of `tree` (arrays or `ShapeDtypeStruct`s).

    Leaves without a shape (functions, static values) become `None`, as in
    `eqx.filter(tree, eqx.is_array)`. The result suits `jit`'s `out_shardings`, `jax.device_put` and
    `jax.lax.with_sharding_constraint`.
    """

    def place(path, leaf):
        spec = rule(jax.tree_util.keystr(path), leaf.shape, mesh.shape)
        return NamedSharding(mesh, spec)

    return jax.tree_util.tree_map_with_path(place, arrays(tree))


def abstract(tree: PyTree, mesh: Mesh | AbstractMesh, rule: Rule = partition) -> PyTree:
    """`tree`'s arrays as `ShapeDtypeStruct`s with their shardings.

    For restoring a checkpoint straight into its shards and for compiling ahead of time.
    """
    return jax.tree.map(
        lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
        arrays(tree),
        shardings(tree, mesh, rule),
    )


def replicated(mesh: Mesh | AbstractMesh) -> NamedSharding:
    """A complete copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh | AbstractMesh) -> NamedSharding:
    """The leading axis split over `data` and `fsdp`, the others not at all."""
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


def put_batch(batch: Batch, mesh: Mesh) -> Batch:
    """Places a batch of host arrays on the mesh, the leading axis split over `data` and `fsdp`.

    Every process passes its own part; in order of the processes these form the global batch. With
    one process that part is the batch.
    """
    sharding = batch_sharding(mesh)

    def put(x):
        return jax.make_array_from_process_local_data(sharding, np.asarray(x))

    return jax.tree.map(put, batch)
