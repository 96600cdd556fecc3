"""Weights in and out of foreign layouts: one table of names serves both directions.

A table is a list of `Pair`s. `read_weights` fills a module by the table, `write_weights` exports
one by the same table:

    unet = read_weights(abstract_unet, table, SafetensorsFile(path), source=path)

Tensors come from any mapping by name and are transformed by one thread for each core. Written
tensors are made on demand. So memory holds one copy of the weights and little more.
The template says where each array goes: with the shapes of `runtime.abstract(template, mesh)` it is
read straight to its shards, and each process reads its own shards alone.
"""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from typing import Any, Protocol, runtime_checkable, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.typing import DTypeLike
from jaxtyping import PyTree

from .._types import Key
from ..nn import shapes_of
from ..runtime import abstract
from ..runtime._leaves import arrays, path_name
from .pairs import Pair
from .read_array import is_mapped, read_array, sharding_of, their_shape
from .saving import LazyTensors

M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)
Advance = Callable[[int], object]
"""Called with the bytes of each tensor once it is read or written."""


@runtime_checkable
class Builder(Protocol[M_co]):
    """A network's config."""

    def build(self, *, key: Key) -> M_co:
        """The network with fresh weights."""


def read_weights(
    template: M,
    table: Sequence[Pair],
    tensors: Mapping[str, np.ndarray],
    *,
    dtype: DTypeLike | None = None,
    ignored: Collection[str] = (),
    source: object = "the weights",
    advance: Advance = lambda size: None,
) -> M:
    """Fills a module from their tensors.

    **Arguments:**

    - `template`: the module, or its shapes from `shapes_of`, which allocate nothing.
        Shapes with shardings (`runtime.abstract`) give arrays that lie so.
    - `table`: a pair for every array of the template.
    - `tensors`: theirs, by name. As many are read at a time as there are cores.
    - `dtype`: of the floating arrays, by default the template's; `"stored"` keeps each tensor's.
        `"mapped"` keeps it too, and leaves the tensor where it is: the arrays are numpy's, views of
        the tensors in another order of their axes. The blocks of a `BlockStack` are copied.
    - `ignored`: patterns (`"pooler.*"`) of tensors that the module does not have.
    - `source`: what to call the tensors in an error, for instance the file.
    - `advance`: called with the bytes of each tensor.

    **Returns** the module with every array replaced.

    **Raises** `ValueError` naming the tensors that are missing, not expected or of a wrong shape.
    """
    ours = named_arrays(template)
    _check_covers(template, ours, table)
    _check_names(table, tensors, ignored, source)
    if is_mapped(dtype) and any(map(sharding_of, jax.tree.leaves(template))):
        raise ValueError(
            "Mapped weights stay in their file, and a mesh takes them to its devices; received "
            'both dtype="mapped" and a mesh. Leave one of them out.'
        )

    def read(pair: Pair) -> jax.Array | np.ndarray:
        return read_array(pair, ours[pair.ours], tensors, dtype, source)

    filled = {}
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # numpy copies in parallel
        reading = map(read, table) if is_mapped(dtype) else threads.map(read, table)
        for pair, array in zip(table, reading, strict=True):
            filled[pair.ours] = array
            advance(array.nbytes)
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: filled.get(path_name(path), leaf), template
    )


def fill(
    config: Builder[M],
    table: Sequence[Pair],
    tensors: Mapping[str, np.ndarray],
    *,
    mesh: Mesh | None = None,
    dtype: DTypeLike | None = None,
    ignored: Collection[str] = (),
    source: object,
    advance: Advance = lambda size: None,
) -> M:
    """Builds the network of a config with these tensors as its weights.

    **Arguments:** as of `read_weights`, and

    - `config`: builds the network.
    - `mesh`: where the arrays go, each straight to its shards; by default on the first device.

    **Raises** `ValueError` also where no network has the sizes of `config`.
    """
    _check_names(table, tensors, ignored, source)  # before a network of any depth is traced
    return read_weights(
        template_of(config, mesh=mesh, source=source),
        table,
        tensors,
        dtype=dtype,
        ignored=ignored,
        source=source,
        advance=advance,
    )


def template_of(config: Builder[M], *, mesh: Mesh | None = None, source: object) -> M:
    """The network of a config as shapes, which allocate nothing; on a mesh they have shardings.

    **Raises** `ValueError` where no network has the sizes of `config`. It names `source`.
    """
    try:
        template = shapes_of(config.build)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise ValueError(
            f"{source}: widths, heads and groups are at least 1 and go together; there is no "
            f"network of the sizes {config}: {error}"
        ) from error
    return template if mesh is None else eqx.combine(abstract(template, mesh), template)


def _check_names(
    table: Sequence[Pair], tensors: Collection[str], ignored: Collection[str], source: object
) -> None:
    expected = {name for pair in table for name in pair.names}
    missing = sorted(expected - set(tensors))
    extra = sorted(
        name
        for name in set(tensors) - expected
        if not any(fnmatchcase(name, pattern) for pattern in ignored)
    )
    if missing or extra:
        raise ValueError(
            f"{source} does not fit: missing {_listed(missing)}; not expected {_listed(extra)}. "
            "Check that it is the right model, with as many layers."
        )


def write_weights(
    module: PyTree, table: Sequence[Pair], *, dtype: DTypeLike | None = None
) -> LazyTensors:
    """A module's arrays in their layout, by their names: the inverse of `read_weights`.

    Each tensor is made on demand. Floating ones become `dtype`; by default they keep their own.
    """
    ours = named_arrays(module)
    _check_covers(module, ours, table)
    groups: dict[str, list[tuple[Pair, int]]] = {}
    for pair in table:
        for index, name in enumerate(pair.names):
            groups.setdefault(name, []).append((pair, index))

    def make(name: str) -> np.ndarray:
        parts = sorted(groups[name], key=lambda entry: entry[0].part)
        rows = [_written(pair, index, ours[pair.ours]) for pair, index in parts]
        return rows[0] if len(rows) == 1 else np.concatenate(rows)

    specs = {}
    for name, entries in groups.items():
        pair, _ = entries[0]
        array = ours[pair.ours]
        floating = jnp.issubdtype(array.dtype, jnp.floating)
        specs[name] = jax.ShapeDtypeStruct(
            their_shape(pair, array), dtype if dtype is not None and floating else array.dtype
        )
    return LazyTensors(specs, make)


def _written(pair: Pair, index: int, ours: Any) -> np.ndarray:
    return pair.transform.write(np.asarray(ours if pair.layers is None else ours[index]))


def named_arrays(module: PyTree) -> dict[str, jax.Array | np.ndarray | jax.ShapeDtypeStruct]:
    """A module's arrays, or shapes, by attribute path: `down.0.stages.1.block.conv1.weight`."""
    leaves = jax.tree_util.tree_leaves_with_path(arrays(module))
    return {path_name(path): leaf for path, leaf in leaves}


def _check_covers(module: Any, names: Collection[str], table: Sequence[Pair]) -> None:
    """A mistake in a table, not in a file: every array of ours must stand in it exactly once."""
    ours, listed = set(names), [pair.ours for pair in table]
    if sorted(ours) != sorted(listed):
        raise ValueError(
            f"The table does not cover {type(module).__name__} once: arrays without a pair "
            f"{_listed(sorted(ours - set(listed)))}; pairs without an array "
            f"{_listed(sorted(set(listed) - ours))}; pairs {len(listed)}, arrays {len(ours)}."
        )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:4]) or "none"
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"
