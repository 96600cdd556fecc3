"""What a program does on its own mesh while it is traced, where networks name no axis.

The mesh is the context's: `with on_mesh(mesh):`, which `make_step` does for its shardings. Without
one, or on a single device, `over_examples` is `vmap` and `per_device` the function itself.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import equinox as eqx
import jax
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from .sharding import BATCH, partition

FSDP, TENSOR = "fsdp", "tensor"


def on_mesh(mesh: Mesh | AbstractMesh | None) -> AbstractContextManager[Any]:
    """Tells what is traced inside which mesh it will run on."""
    if mesh is None:
        return nullcontext()
    return jax.sharding.use_abstract_mesh(mesh.abstract_mesh if isinstance(mesh, Mesh) else mesh)


def mesh_of(shardings: Any) -> Mesh | AbstractMesh | None:
    """The mesh that a tree of shardings is for."""
    leaves = jax.tree.leaves(shardings)
    return next((leaf.mesh for leaf in leaves if isinstance(leaf, NamedSharding)), None)


def splits_weights() -> bool:
    """Whether the context's mesh has weights in shards that are gathered before use."""
    return _sizes().get(FSDP, 1) > 1


class Shard(eqx.Module):
    """A kernel of which each device holds a part, whole from the moment that a layer casts it.

    The cast to the arithmetic's dtype is the all-gather of fully sharded data parallelism: of one
    layer, where it is used, and of half the bytes of the float32 master weight. Its gradient is
    the reduce-scatter, in the same dtype, straight to the parts. What the axis `tensor` splits
    stays split: left to itself, the compiler would gather that, too.
    """

    part: Array
    axis: int = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    tensor: PartitionSpec = eqx.field(static=True, default=PartitionSpec())

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> Any:
        return self.part.dtype

    def astype(self, dtype: Any) -> Array:
        """The whole kernel."""

        def gather(part: Array) -> Array:
            return jax.lax.all_gather(part, FSDP, axis=self.axis, tiled=True)

        if TENSOR in self.tensor:
            spec = self.tensor
            gather = jax.shard_map(
                gather, in_specs=spec, out_specs=spec, axis_names={TENSOR}, check_vma=False
            )
        return gather(self.part.astype(dtype))

    def __jax_array__(self) -> Array:
        return self.astype(self.dtype)


def gathers(primitive: Any) -> bool:
    """Whether an operation makes whole kernels of shards, for policies of rematerialisation."""
    return primitive.name == "all_gather"


def has_shards(tree: Any) -> bool:
    """Whether some kernel of `tree` is in shards."""
    return any(map(_is_shard, jax.tree.leaves(tree, is_leaf=_is_shard)))


def gathered(tree: Any) -> Any:
    """`tree` with whole kernels, for what looks values up and casts none."""
    return jax.tree.map(
        lambda leaf: leaf.astype(leaf.dtype) if _is_shard(leaf) else leaf, tree, is_leaf=_is_shard
    )


def over_examples(
    function: Callable[..., Any], constants: Any, network: Any, *examples: Any
) -> Any:
    """`vmap` of `function(constants, network, *example)` over examples, each device on its own.

    On a mesh with an axis `fsdp` the network's kernels are `Shard`s inside. What is in `constants`
    is whole on every device. Where the mesh does not divide the number of examples, the compiler
    is left to split the work.
    """
    sizes = _sizes()
    axes = tuple(name for name in BATCH[0] if name in sizes)
    number = jax.tree.leaves(examples)[0].shape[0]
    parts = math.prod(sizes[name] for name in axes)

    def every(constants: Any, network: Any, *examples: Any) -> Any:
        return jax.vmap(lambda *example: function(constants, network, *example))(*examples)

    if parts == 1 or number % parts:
        return every(constants, network, *examples)

    arrays, static = eqx.partition((constants, network), eqx.is_array)
    leaves, structure = jax.tree.flatten(arrays[1])
    shapes = [leaf.shape for leaf in leaves]
    rules = [partition("", shape, sizes) for shape in shapes]
    specs = [_only(FSDP, spec) for spec in rules]

    def local(constants: Any, leaves: list[Array], *examples: Any) -> Any:
        shards = [
            Shard(leaf, tuple(spec).index(FSDP), shape, _only(TENSOR, spec))
            if FSDP in spec
            else leaf
            for leaf, spec, shape in zip(leaves, rules, shapes, strict=True)
        ]
        arrays = constants, jax.tree.unflatten(structure, shards)
        whole = eqx.combine(arrays, static, is_leaf=_is_shard)
        return every(*whole, *examples)

    batch = PartitionSpec(axes)
    return jax.shard_map(
        local,
        in_specs=(PartitionSpec(), specs, *[batch] * len(examples)),
        out_specs=batch,
        axis_names={*axes, *(name for name, size in sizes.items() if size == 1)},
        check_vma=False,
    )(arrays[0], leaves, *examples)


def per_device(function: Callable[..., Any], heads: int, *arrays: Array) -> Any:
    """`function(*arrays)`, each device on its own part: what the compiler cannot split by itself.

    **Arguments:**

    - `function`: independent for each example and each head.
    - `heads`: the axis of the heads, split over `tensor`. The leading axis is split like a batch.
    - `arrays`: batch first. Where a size does not divide, every device does the whole.
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
    """Devices along each axis of the context's mesh that the compiler is in charge of."""
    mesh = jax.sharding.get_abstract_mesh()
    kinds = zip(mesh.axis_names, mesh.axis_types, strict=True)
    return {name: mesh.shape[name] for name, kind in kinds if kind == AxisType.Auto}


def _is_shard(node: Any) -> bool:
    return isinstance(node, Shard)


def _only(name: str, spec: PartitionSpec) -> PartitionSpec:
    return PartitionSpec(*(axis if axis == name else None for axis in spec))
