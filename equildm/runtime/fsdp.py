"""Fully sharded data parallelism: what a traced program does on its mesh. Networks name no axis.

The mesh comes from the context, `with on_mesh(mesh):`, which `make_step` enters for its shardings.
Without one, or on a single device, `sharded_vmap` is `vmap` and `per_device` the function itself.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import equinox as eqx
import jax
import numpy as np
from jax.extend.core import Primitive
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec
from jax.typing import DTypeLike
from jaxtyping import Array, PyTree

from .sharding import BATCH, partition

FSDP, TENSOR = "fsdp", "tensor"
"""Axes of the mesh that split weights."""

T = TypeVar("T")


def on_mesh(mesh: Mesh | AbstractMesh | None) -> AbstractContextManager[object]:
    """Programs traced inside will run on this mesh."""
    if mesh is None:
        return nullcontext()
    return jax.sharding.use_abstract_mesh(mesh.abstract_mesh if isinstance(mesh, Mesh) else mesh)


def mesh_of(shardings: PyTree) -> Mesh | AbstractMesh | None:
    """The mesh of a tree of shardings; `None` if no leaf names one."""
    leaves = jax.tree.leaves(shardings)
    return next((leaf.mesh for leaf in leaves if isinstance(leaf, NamedSharding)), None)


def splits_weights() -> bool:
    """Whether the context's mesh has weights in shards that are gathered before use."""
    return _sizes().get(FSDP, 1) > 1


class Shard(eqx.Module):
    """A kernel of which each device holds a part. It is gathered when a layer casts it.

    The cast to the arithmetic's dtype is the all-gather of fully sharded data parallelism: of one
    layer, where it is used, and of half the bytes of the float32 master weight. Its gradient is
    the reduce-scatter, in the same dtype, straight to the parts. An axis that `tensor` splits
    stays split; the compiler by itself would gather it too.

    **Fields:**

    - `part`: this device's part. A scan over stacked blocks takes its first axis away.
    - `axis`: the axis that `fsdp` splits, counted from the end.
    - `parts`: into how many.
    - `tensor`: the axis that `tensor` splits, counted from the end, if any.
    """

    part: Array
    axis: int = eqx.field(static=True)
    parts: int = eqx.field(static=True)
    tensor: int | None = eqx.field(static=True, default=None)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the complete kernel."""
        shape = list(self.part.shape)
        shape[self.axis] *= self.parts
        return tuple(shape)

    @property
    def ndim(self) -> int:
        """Number of axes, as of an array."""
        return self.part.ndim

    @property
    def dtype(self) -> np.dtype:
        """Dtype of the part."""
        return self.part.dtype

    def astype(self, dtype: DTypeLike) -> Array:
        """The complete kernel in that dtype."""

        def gather(part: Array) -> Array:
            return jax.lax.all_gather(part, FSDP, axis=self.ndim + self.axis, tiled=True)

        if self.tensor is not None:
            axes: list[str | None] = [None] * self.ndim
            axes[self.tensor] = TENSOR
            spec = PartitionSpec(*axes)
            gather = jax.shard_map(
                gather, in_specs=spec, out_specs=spec, axis_names={TENSOR}, check_vma=False
            )
        return gather(self.part.astype(dtype))

    def __jax_array__(self) -> Array:
        return self.astype(self.dtype)


def gathers(primitive: Primitive) -> bool:
    """Whether an operation gathers shards, for policies of rematerialisation."""
    return primitive.name == "all_gather"


def has_shards(tree: PyTree) -> bool:
    """Whether any kernel of `tree` is a `Shard`."""
    return any(map(_is_shard, jax.tree.leaves(tree, is_leaf=_is_shard)))


def gathered(tree: PyTree) -> PyTree:
    """`tree` with complete kernels, for modules that look values up and do not cast them."""
    return jax.tree.map(
        lambda leaf: leaf.astype(leaf.dtype) if _is_shard(leaf) else leaf, tree, is_leaf=_is_shard
    )


def sharded_vmap(
    function: Callable[..., PyTree], constants: PyTree, network: PyTree, *examples: PyTree
) -> PyTree:
    """`vmap` of `function(constants, network, *example)` over examples, each device on its own.

    **Arguments:**

    - `function`: of one example.
    - `constants`: arrays that every device has a complete copy of.
    - `network`: the module. On a mesh with an axis `fsdp` its kernels are `Shard`s in `function`.
    - `examples`: with a leading batch axis. Where the mesh does not divide their number, the
        compiler splits the work as it likes.
    """
    sizes = _sizes()
    axes = tuple(name for name in BATCH[0] if name in sizes)
    number = jax.tree.leaves(examples)[0].shape[0]
    parts = math.prod(sizes[name] for name in axes)

    def every(constants: PyTree, network: PyTree, *examples: PyTree) -> PyTree:
        return jax.vmap(lambda *example: function(constants, network, *example))(*examples)

    if parts == 1 or number % parts:
        return every(constants, network, *examples)

    arrays, static = eqx.partition((constants, network), eqx.is_array)
    paths, structure = jax.tree_util.tree_flatten_with_path(arrays[1])
    leaves = [leaf for _, leaf in paths]
    rules = [partition(jax.tree_util.keystr(path), leaf.shape, sizes) for path, leaf in paths]
    specs = [_only(FSDP, spec) for spec in rules]

    def local(constants: PyTree, leaves: list[Array], *examples: PyTree) -> PyTree:
        shards = [
            leaf
            if (axis := _place(FSDP, spec, leaf)) is None
            else Shard(leaf, axis, sizes[FSDP], _place(TENSOR, spec, leaf))
            for leaf, spec in zip(leaves, rules, strict=True)
        ]
        arrays = constants, jax.tree.unflatten(structure, shards)
        constants, network = eqx.combine(arrays, static, is_leaf=_is_shard)
        return every(constants, network, *examples)

    batch = PartitionSpec(axes)
    return jax.shard_map(
        local,
        in_specs=(PartitionSpec(), specs, *[batch] * len(examples)),
        out_specs=batch,
        axis_names={*axes, *(name for name, size in sizes.items() if size == 1)},
        check_vma=False,
    )(arrays[0], leaves, *examples)


def per_device(function: Callable[..., T], heads: int, *arrays: Array) -> T:
    """`function(*arrays)`, each device on its own part: for code that the compiler cannot split.

    **Arguments:**

    - `function`: independent for each example and each head.
    - `heads`: the axis of the heads, split over `tensor`. The leading axis is split like a batch.
    - `arrays`: batch first. An axis that the mesh does not divide is not split.
    """
    sizes = _sizes()
    if max(sizes.values(), default=1) == 1:
        return function(*arrays)
    batch: tuple[str, ...] = tuple(name for name in BATCH[0] if name in sizes)
    tensor = TENSOR if sizes.get(TENSOR, 1) > 1 else None
    if any(x.shape[0] % math.prod(sizes[name] for name in batch) for x in arrays):
        batch = ()
    if tensor and any(x.shape[heads] % sizes[tensor] for x in arrays):
        tensor = None
    spec = PartitionSpec(batch or None, *[None] * (heads - 1), tensor)
    return jax.shard_map(
        function, in_specs=spec, out_specs=spec, axis_names=set(sizes), check_vma=False
    )(*arrays)


def _sizes() -> dict[str, int]:
    """Devices along each axis of the context's mesh that the compiler manages."""
    mesh = jax.sharding.get_abstract_mesh()
    kinds = zip(mesh.axis_names, mesh.axis_types, strict=True)
    return {name: mesh.shape[name] for name, kind in kinds if kind == AxisType.Auto}


def _is_shard(node: object) -> bool:
    return isinstance(node, Shard)


def _place(name: str, spec: PartitionSpec, leaf: Array) -> int | None:
    """The axis that a mesh axis splits, counted from the end."""
    return tuple(spec).index(name) - leaf.ndim if name in spec else None


def _only(name: str, spec: PartitionSpec) -> PartitionSpec:
    return PartitionSpec(*(axis if axis == name else None for axis in spec))
