"""Arrays whose shards lie on the devices of several processes, from the host and back to it."""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, Sharding
from jaxtyping import PyTree


def put(tree: PyTree, places: PyTree) -> PyTree:
    """`tree` with its arrays placed by the shardings of `places`; other leaves are unchanged.

    A host array goes straight to its shards. With several processes each passes the same values,
    or an array that already spans them. An array that is in its place is not copied.

    **Arguments:**

    - `tree`: host or device arrays, and other leaves.
    - `places`: a tree of the same structure with a sharding for each array, `None` elsewhere.
    """

    structure: Any
    leaves, structure = jax.tree.flatten(tree)
    where = structure.flatten_up_to(places)
    here = [i for i, place in enumerate(where) if place is not None and place.is_fully_addressable]
    moved = jax.device_put([leaves[i] for i in here], [where[i] for i in here])
    for i, leaf in zip(here, moved, strict=True):
        leaves[i] = leaf
    for i, place in enumerate(where):
        if place is not None and not place.is_fully_addressable:
            leaves[i] = _put_across(leaves[i], place)
    return jax.tree.unflatten(structure, leaves)


def _put_across(leaf: Any, place: Sharding) -> Any:
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        same = leaf.sharding == place
        return leaf if same else jax.jit(lambda x: x, out_shardings=place)(leaf)
    # Not device_put: it has all processes compare every array first.
    host = np.asarray(leaf)
    return jax.make_array_from_callback(host.shape, place, lambda index: host[index])


def gather(tree: PyTree) -> PyTree:
    """`tree` with complete numpy arrays. Every process must call this; each gets all of them."""

    def to_host(leaf: Any) -> Any:
        if isinstance(leaf, jax.Array) and not (
            leaf.is_fully_addressable or leaf.is_fully_replicated
        ):
            from jax.experimental import multihost_utils

            return multihost_utils.process_allgather(leaf, tiled=True)
        return np.asarray(leaf) if isinstance(leaf, jax.Array) else leaf

    return jax.tree.map(to_host, tree)


def batch_parts(mesh: Mesh) -> tuple[tuple[int, ...], int]:
    """The parts of a batch that this process reads, and the number of equal parts.

    A batch is split in order over `data` and `fsdp`. A process reads the parts of its own devices:
    usually one part of as many as there are processes; the same part as another process where
    `tensor` spans both; several separate ones where the mesh follows the wiring of a TPU slice.
    """
    owners = np.vectorize(lambda device: device.process_index, otypes=[int])(mesh.devices)
    return _parts(owners.reshape(mesh.shape["data"] * mesh.shape["fsdp"], -1), jax.process_index())


def _parts(owners: np.ndarray, here: int) -> tuple[tuple[int, ...], int]:
    """`owners[i]` are the processes whose devices hold the i-th of equal parts."""
    mine = np.flatnonzero((owners == here).any(axis=1)).tolist()
    first, count = mine[0], len(mine)
    together = mine == list(range(first, first + count))
    if together and first % count == 0 and len(owners) % count == 0:
        return (first // count,), len(owners) // count
    return tuple(mine), len(owners)
