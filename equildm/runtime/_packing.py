"""Many small arrays as one: a checkpoint costs over a millisecond an array, whatever its size.

A network has hundreds of biases and norms, its optimiser and averages as many again. Measured on
2,744 arrays of 54 MB in all: a save takes 4.2 s in the background one by one, 0.3 s packed.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from .gather import put

PACKED = "packed"
"""Name of the array that holds the bytes of the small ones. A leaf's path never reads like it."""

SMALL = 2**18
"""Arrays below this many bytes are packed."""

Table = dict[str, list]
"""By path, `[shape, dtype]` of an array that is stored by itself, or `[shape, dtype, offset]` of
one whose bytes begin at that offset of the packed array."""


def pack(leaves: dict[str, Any]) -> tuple[dict[str, Any], Table]:
    """The arrays to store, and where to find each leaf in them. Waits for the small ones."""
    small = {path: leaf for path, leaf in leaves.items() if _packable(leaf)}
    values = [np.ascontiguousarray(value) for value in jax.device_get(list(small.values()))]
    ends = list(itertools.accumulate((value.nbytes for value in values), initial=0))
    offsets = dict(zip(small, ends, strict=False))
    table = {
        path: [list(x.shape), str(x.dtype), *([offsets[path]] if path in small else [])]
        for path, x in leaves.items()
    }
    stored = {path: leaf for path, leaf in leaves.items() if path not in small}
    if small:
        stored[PACKED] = np.concatenate([value.reshape(-1).view(np.uint8) for value in values])
    return stored, table


def restore_targets(leaves: dict[str, Any], table: Table) -> dict[str, Any]:
    """The arrays that Orbax reads for `leaves`, with the devices that they go to."""
    targets = {
        path: leaf if isinstance(leaf, np.ndarray) else _placed(leaf)
        for path, leaf in leaves.items()
        if not _is_packed(table[path])
    }
    size = sum(_nbytes(entry) for entry in table.values() if _is_packed(entry))
    return targets | ({PACKED: np.empty(size, np.uint8)} if size else {})


def unpack(leaves: dict[str, Any], table: Table, read: Mapping[str, Any]) -> list[Any]:
    """The values of `leaves`, in their order: the small ones cut out and placed."""
    return [
        _cut(read[PACKED], table[path], leaf) if _is_packed(table[path]) else read[path]
        for path, leaf in leaves.items()
    ]


def _cut(packed: np.ndarray, entry: list, leaf: Any) -> Any:
    shape, dtype, offset = entry
    # A copy, so that it is aligned, and does not keep the rest alive.
    piece = packed[offset : offset + _nbytes(entry)].copy()
    value = piece.view(jax.numpy.dtype(dtype)).reshape(shape)
    if isinstance(leaf, np.ndarray):
        return value
    place = _placed(leaf).sharding
    assert place is not None
    return put(value, place)


def _placed(leaf: Any) -> jax.ShapeDtypeStruct:
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding or here)


def _packable(leaf: Any) -> bool:
    if leaf.nbytes >= SMALL:
        return False
    # Other processes hold parts of the rest.
    return isinstance(leaf, np.ndarray) or leaf.is_fully_addressable or leaf.is_fully_replicated


def _is_packed(entry: list) -> bool:
    return len(entry) == 3


def _nbytes(entry: list) -> int:
    return int(np.prod(entry[0], dtype=np.int64)) * jax.numpy.dtype(entry[1]).itemsize
