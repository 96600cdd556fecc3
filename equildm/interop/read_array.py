"""One array of ours from the tensors of a file, whole or the pieces that its devices hold."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from .pairs import Pair

_DTYPES = tuple(map(jnp.dtype, ("float32", "bfloat16", "float16", "float64")))


def keeps_types(dtype: DTypeLike | None) -> bool:
    """Whether a `dtype` of `read_weights` says that each tensor keeps its own."""
    return isinstance(dtype, str) and dtype in ("stored", "mapped")


def is_mapped(dtype: Any) -> bool:
    """Whether a `dtype` of `read_weights` says that tensors stay in their file."""
    return isinstance(dtype, str) and dtype == "mapped"


def check_dtype(dtype: DTypeLike | None) -> None:
    """**Raises** `ValueError` for a dtype that would cut weights to a few numbers, or is none."""
    try:
        is_known = dtype is None or jnp.dtype(dtype) in _DTYPES
    except TypeError:
        is_known = False
    if not is_known:
        names = ", ".join(known.name for known in _DTYPES)
        raise ValueError(f"Weights are {names}; received dtype={dtype!r}.")


def sharding_of(leaf: Any) -> Any:
    """Where a leaf of a template goes, or None if that is not said."""
    return getattr(leaf, "sharding", None) if isinstance(leaf, jax.ShapeDtypeStruct) else None


def read_array(
    pair: Pair, ours: Any, tensors: Mapping[str, np.ndarray], dtype: Any, source: object
) -> jax.Array | np.ndarray:
    """One of our arrays: on the first device, in its shards, or mapped.

    A process reads what its own devices hold, each piece once.

    **Arguments:** as of `read_weights`, and

    - `pair`: names the array and its tensors.
    - `ours`: the template's leaf.

    **Raises** `ValueError` naming a tensor of a wrong shape or kind.
    """
    floating = jnp.issubdtype(ours.dtype, jnp.floating)
    target: Any = ours.dtype if dtype is None or not floating else dtype
    views = []
    for name in pair.names:
        theirs = tensors[name]
        _check_tensor(pair, name, ours, theirs, source)
        part = theirs if pair.parts == 1 else np.split(theirs, pair.parts)[pair.part]
        views.append(pair.transform.read(part))
    if pair.layers is None and is_mapped(target):
        return views[0]
    kind = views[0].dtype if keeps_types(target) else target
    pieces: dict[str, np.ndarray] = {}

    def piece(index: Any) -> np.ndarray:
        if str(index) not in pieces:  # devices with the same piece share it
            pieces[str(index)] = _piece(pair, views, index, kind)
        return pieces[str(index)]

    sharding = sharding_of(ours)
    if sharding is None:
        return jax.device_put(piece((slice(None),) * len(ours.shape)))
    return jax.make_array_from_callback(ours.shape, sharding, piece)


def _piece(
    pair: Pair, views: Sequence[np.ndarray], index: tuple[slice, ...], dtype: Any
) -> np.ndarray:
    """A part of one of our arrays. Of the file, nothing else is read."""
    if pair.layers is None:
        view = views[0][index]
        array = _aligned(view.shape, dtype)
        _copy(view, array)
        return array
    layers, *rest = index
    parts = [view[tuple(rest)] for view in views[layers]]
    array = _aligned((len(parts), *parts[0].shape), dtype)
    for number, part in enumerate(parts):
        _copy(part, array[number, ...])
    return array


def _check_tensor(pair: Pair, name: str, ours: Any, theirs: np.ndarray, source: object) -> None:
    shape = their_shape(pair, ours)
    if theirs.shape != shape:
        raise ValueError(
            f"{source}: tensor '{name}' must have shape {shape} to be '{pair.ours}', "
            f"received {theirs.shape}."
        )
    if jnp.issubdtype(theirs.dtype, jnp.floating) != jnp.issubdtype(ours.dtype, jnp.floating):
        raise ValueError(
            f"{source}: tensor '{name}' holds {theirs.dtype}, '{pair.ours}' {ours.dtype}."
        )


def _aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Memory in C order, at an address where jax takes it over on CPUs instead of copying it."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.empty(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)


def _copy(view: np.ndarray, copy: np.ndarray) -> None:
    if view.flags.c_contiguous:
        copy[...] = view
        return
    for i in range(0, view.shape[-1], 16):
        # Our last axis is their first. A cache line holds 16 of our numbers, and 16 of their rows
        # are contiguous: they are converted before the transposition.
        copy[..., i : i + 16] = view[..., i : i + 16].astype(copy.dtype, copy=False)


def their_shape(pair: Pair, ours: Any) -> tuple[int, ...]:
    """The shape of each of their tensors, for one of our arrays or its shape."""
    # A broadcast scalar has the shape of our array and the memory of one number.
    own = ours.shape if pair.layers is None else ours.shape[1:]
    shape = pair.transform.write(np.broadcast_to(np.float32(0), own)).shape
    return shape if pair.parts == 1 else (shape[0] * pair.parts, *shape[1:])
