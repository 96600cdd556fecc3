"""Weights in and out of foreign layouts: one table of names serves both directions.

A layout is data: a list of `Pair`s, each saying which of our arrays is which of their tensors and
how it is turned. `read_weights` walks the list to fill a module, `write_weights` walks it to
export one, so that a name is never written twice. `linear`, `conv` and `norm` make the pairs of
a layer:

    table = [*conv("conv_in", "conv_in"), *norm("norm_out", "conv_norm_out")]
    unet = read_weights(abstract_unet, table, open_safetensors(path), source=path)

Tensors arrive by name from any mapping, turned by a thread for each core, and leave as one, each
when it is asked for: a model that fills the memory once can be read and written. The template says
where each array goes: with the shapes of `runtime.abstract(template, mesh)` it is read straight to
its shards.
"""

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ..runtime import abstract
from .safetensors import LazyTensors

M = TypeVar("M")
Advance = Callable[[int], object]
"""Told the bytes of each tensor once it is read or written."""


class Transform(NamedTuple):
    """How a tensor is turned: `read` from their layout to ours, `write` back."""

    read: Callable[[np.ndarray], np.ndarray]
    write: Callable[[np.ndarray], np.ndarray]


def _permuted(*read_axes: int) -> Transform:
    write_axes = tuple(int(axis) for axis in np.argsort(read_axes))
    return Transform(lambda a: a.transpose(read_axes), lambda a: a.transpose(write_axes))


SAME = Transform(lambda a: a, lambda a: a)
"""Vectors, embedding tables, and whatever is already stored as ours."""

OUT_IN = _permuted(1, 0)
"""A linear map stored (out, in), as PyTorch does; ours is (in, out)."""

OIHW = _permuted(2, 3, 1, 0)
"""A convolution's kernel stored (out, in, height, width); ours is (height, width, in, out)."""

OUT_IN_POINTWISE = Transform(lambda a: a.T[None, None], lambda a: a[0, 0].T)
"""A linear map (out, in) of theirs that is a 1x1 convolution of ours."""

POINTWISE_OUT_IN = Transform(lambda a: a[:, :, 0, 0].T, lambda a: a.T[:, :, None, None])
"""A 1x1 convolution (out, in, 1, 1) of theirs that is a linear map of ours."""


class Pair(NamedTuple):
    """One of our arrays (the attributes that lead to it, with dots) and one of their tensors.

    Where theirs holds several of ours one below the other, as a fused projection to query, key and
    value does, each has a pair: ours is `part` (0, 1, ..) of `parts`.
    """

    ours: str
    theirs: str
    transform: Transform = SAME
    part: int = 0
    parts: int = 1


def linear(
    ours: str, theirs: str, *, bias: bool = True, weight: Transform = OUT_IN
) -> Iterable[Pair]:
    """The pairs of a layer with `weight` and `bias`."""
    yield Pair(f"{ours}.weight", f"{theirs}.weight", weight)
    if bias:
        yield Pair(f"{ours}.bias", f"{theirs}.bias")


def conv(ours: str, theirs: str, *, bias: bool = True) -> Iterable[Pair]:
    """The pairs of a convolution."""
    return linear(ours, theirs, bias=bias, weight=OIHW)


def norm(ours: str, theirs: str) -> Iterable[Pair]:
    """The pairs of a normalisation with scale and shift."""
    return linear(ours, theirs, weight=SAME)


def read_weights(
    template: M,
    table: Sequence[Pair],
    tensors: Mapping[str, np.ndarray],
    *,
    dtype: Any | Literal["stored"] = None,
    ignored: Collection[str] = (),
    source: object = "the weights",
    advance: Advance = lambda size: None,
) -> M:
    """Fills a module from their tensors.

    **Arguments:**

    - `template`: the module, or its shapes from `eqx.filter_eval_shape`, which allocate nothing.
        Shapes with shardings (`runtime.abstract`) give arrays that lie so.
    - `table`: a pair for every array of the template.
    - `tensors`: theirs, by name. No more are asked for at a time than there are cores.
    - `dtype`: of the floating arrays, by default the template's; `"stored"` keeps each one's own.
    - `ignored`: patterns (`"pooler.*"`) of their tensors that have no place in ours.
    - `source`: what to call the tensors in an error, for instance the file.
    - `advance`: called with the bytes of each tensor.

    **Returns:**

    The module with every array replaced.

    **Raises:**

    `ValueError` naming the tensors that are missing, not expected, or of a wrong shape or kind.
    """
    _check_covers(template, table)
    _check_names(table, tensors, ignored, source)

    def read(pair: Pair) -> jax.Array:
        return _read(pair, _get(template, pair.ours), tensors[pair.theirs], dtype, source)

    arrays = []
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # numpy copies in parallel
        for array in threads.map(read, table):
            arrays.append(array)
            advance(array.nbytes)
    return eqx.tree_at(lambda tree: [_get(tree, pair.ours) for pair in table], template, arrays)


def fill(
    config: Any,
    table: Sequence[Pair],
    tensors: Mapping[str, np.ndarray],
    *,
    mesh: Mesh | None = None,
    source: object,
    ignored: Collection[str] = (),
    **options: Any,
) -> Any:
    """`config.build`'s network with these tensors; the options are those of `read_weights`."""
    _check_names(table, tensors, ignored, source)  # before a network of any depth is traced
    try:
        template = eqx.filter_eval_shape(config.build, key=jax.random.key(0))
    except (ValueError, TypeError, ArithmeticError) as error:
        raise ValueError(f"{source}: there is no network of the sizes {config}: {error}") from error
    if mesh is not None:
        template = eqx.combine(abstract(template, mesh), template)
    return read_weights(template, table, tensors, source=source, ignored=ignored, **options)


def _check_names(
    table: Sequence[Pair], tensors: Collection[str], ignored: Collection[str], source: object
) -> None:
    wanted = {pair.theirs for pair in table}
    missing = sorted(wanted - set(tensors))
    extra = sorted(
        name
        for name in set(tensors) - wanted
        if not any(fnmatchcase(name, pattern) for pattern in ignored)
    )
    if missing or extra:
        raise ValueError(
            f"{source} does not fit: missing {_listed(missing)}; not expected {_listed(extra)}. "
            "Check that it is the right model, with as many layers."
        )


def write_weights(module: Any, table: Sequence[Pair], *, dtype: Any = None) -> LazyTensors:
    """A module's arrays in their layout, by their names: the inverse of `read_weights`.

    Each is turned when it is asked for. Floating ones become `dtype`, by default they keep theirs.
    """
    _check_covers(module, table)
    groups: dict[str, list[Pair]] = {}
    for pair in table:
        groups.setdefault(pair.theirs, []).append(pair)

    def make(name: str) -> np.ndarray:
        parts = sorted(groups[name], key=lambda pair: pair.part)
        rows = [pair.transform.write(np.asarray(_get(module, pair.ours))) for pair in parts]
        whole = rows[0] if len(rows) == 1 else np.concatenate(rows)
        return np.ascontiguousarray(whole, specs[name].dtype)

    specs = {}
    for name, pairs in groups.items():
        ours = _get(module, pairs[0].ours)
        floating = jnp.issubdtype(ours.dtype, jnp.floating)
        specs[name] = jax.ShapeDtypeStruct(
            _their_shape(pairs[0], ours), dtype if dtype is not None and floating else ours.dtype
        )
    return LazyTensors(specs, make)


def _their_shape(pair: Pair, ours: Any) -> tuple[int, ...]:
    # A broadcast scalar has the shape of our array and the memory of one number.
    shape = pair.transform.write(np.broadcast_to(np.float32(0), ours.shape)).shape
    return shape if pair.parts == 1 else (shape[0] * pair.parts, *shape[1:])


def _read(pair: Pair, ours: Any, theirs: np.ndarray, dtype: Any, source: object) -> jax.Array:
    shape = _their_shape(pair, ours)
    if theirs.shape != shape:
        raise ValueError(
            f"{source}: tensor '{pair.theirs}' must have shape {shape} to be '{pair.ours}', "
            f"received {theirs.shape}."
        )
    floating = jnp.issubdtype(theirs.dtype, jnp.floating)
    if floating != jnp.issubdtype(ours.dtype, jnp.floating):
        raise ValueError(
            f"{source}: tensor '{pair.theirs}' holds {theirs.dtype}, '{pair.ours}' {ours.dtype}."
        )
    part = theirs if pair.parts == 1 else np.split(theirs, pair.parts)[pair.part]
    kept = theirs.dtype if dtype == "stored" else dtype or ours.dtype
    turned = _laid_out(pair.transform.read(part), kept if floating else ours.dtype)
    sharding = getattr(ours, "sharding", None) if isinstance(ours, jax.ShapeDtypeStruct) else None
    if sharding is None:
        return jax.device_put(turned)
    return jax.make_array_from_callback(turned.shape, sharding, lambda index: turned[index])


def _laid_out(view: np.ndarray, dtype: Any) -> np.ndarray:
    """A copy in C order, at an address where jax takes it over on CPUs instead of copying it."""
    size = view.size * np.dtype(dtype).itemsize
    raw = np.empty(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    copy = raw[start : start + size].view(dtype).reshape(view.shape)
    if view.flags.c_contiguous:
        copy[...] = view
        return copy
    for i in range(0, view.shape[-1], 16):
        # Our last axis is their first: a line of the cache holds this much of ours, and these
        # rows of theirs are converted before they are turned, while they are in one piece.
        copy[..., i : i + 16] = view[..., i : i + 16].astype(dtype, copy=False)
    return copy


def _get(module: Any, path: str) -> Any:
    for name in path.split("."):
        module = module[int(name)] if name.isdigit() else getattr(module, name)
    return module


def _check_covers(module: Any, table: Sequence[Pair]) -> None:
    """A mistake in a table, not in a file: every array of ours must stand in it exactly once."""
    leaves = jax.tree_util.tree_flatten_with_path(eqx.filter(module, _is_array))[0]
    ours = {jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves}
    listed = [pair.ours for pair in table]
    if sorted(ours) != sorted(listed):
        raise ValueError(
            f"The table does not cover {type(module).__name__} once: arrays without a pair "
            f"{_listed(sorted(ours - set(listed)))}; pairs without an array "
            f"{_listed(sorted(set(listed) - ours))}; pairs {len(listed)}, arrays {len(ours)}."
        )


def _is_array(leaf: Any) -> bool:
    return eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:4]) or "none"
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"
