"""What sharded data parallelism sends, by theory: to compare with a compiled program."""

import math
from collections.abc import Iterable
from typing import TypedDict

from jax.sharding import AbstractMesh, Mesh

from ..denoise import network_shapes, UNetConfig
from ..runtime import partition
from ..runtime._leaves import is_array, is_stacked, named
from .case import PlanCase
from .collectives import Kind

_TIME = ".time."
_CAPTIONS = (".cross_attention.to_key.", ".cross_attention.to_value.")


class ExpectedTraffic(TypedDict):
    """Collectives of one kind in one call of a program."""

    count: int
    """Arrays."""
    bytes: float
    """Bytes of the complete arrays, over all parts of the batch."""


def expected_collectives(case: PlanCase, mesh: Mesh | AbstractMesh) -> dict[Kind, ExpectedTraffic]:
    """What the program of a case sends, from the shapes of its weights.

    - `all-gather`: every kernel in shards over `fsdp` is gathered in bfloat16, in training forward
      and backward.
    - `reduce-scatter`: the gradient of each of these kernels, in bfloat16.
    - `all-reduce`: in float32, the gradient of an array that is not in shards, summed over `data`
      and `fsdp`; and that of one that is, summed over `data`.

    All that happens for each part of the batch. With an axis `tensor` the arrays are the parts
    that it makes. The activations that `tensor` sends are not counted.

    Captions have no gradient, so that the kernels that read them are not gathered in the backward
    pass, unless blocks are computed again. The embedding of the time stands outside of the blocks:
    it is float32, and gathered once. In a transformer the caption is projected outside of the
    blocks, so that it has a gradient; what lies outside of its stacks is gathered once. An array of
    stacked blocks counts once, with the bytes of all blocks.
    """
    stacks = not isinstance(case.network, UNetConfig)

    def again(path: str) -> bool:
        """Whether the backward pass gathers it a second time."""
        if stacks:
            return is_stacked(path)
        reads_caption = any(name in path for name in _CAPTIONS)
        return not path.startswith(_TIME) and (case.remat == "blocks" or not reads_caption)

    sizes = mesh.shape
    local: dict[str, int] = {}  # elements of each array, without what `tensor` splits off
    gathered: dict[str, int] = {}  # bytes of each array that is in shards over `fsdp`
    for path, leaf in named(network_shapes(case.network)).items():
        if not is_array(leaf):
            continue
        spec = partition(path, leaf.shape, sizes)
        local[path] = math.prod(leaf.shape) // (sizes["tensor"] if "tensor" in spec else 1)
        if "fsdp" in spec:
            gathered[path] = local[path] * (4 if path.startswith(_TIME) else 2)

    def traffic(arrays: Iterable[int]) -> ExpectedTraffic:
        arrays = list(arrays)
        return {"count": len(arrays), "bytes": float(sum(arrays) * case.program_parts)}

    forward = list(gathered.values())
    if case.program == "sample":
        return {"all-gather": traffic(forward)}
    backward = [size for path, size in gathered.items() if again(path)]
    summed = [
        4 * (size // sizes["fsdp"] if path in gathered else size)
        for path, size in local.items()
        if sizes["data"] * (1 if path in gathered else sizes["fsdp"]) > 1
    ]
    return {
        "all-gather": traffic([*forward, *backward]),
        "reduce-scatter": traffic(forward),
        "all-reduce": traffic(summed),
    }
