"""Low-rank adapters (LoRA): a small trained difference to layers whose own weights are frozen.

`Adapters` are trained, stored and exchanged: the factors of some layers of a network, by the path
of each layer. They act on any network that has these layers, wrapped around them or added to them:

    adapters = new_lora(network, rank=8, key=key)
    adapted = with_lora_layers(network, adapters)       # two more thin products for each layer
    merged = merge_lora(network, adapters, scale=0.7)   # as fast as before, and final
"""

import math
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeAlias, TypeGuard, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._types import Key
from ..runtime._leaves import path_name
from ._init import constant, fan_in_bound, split_key, uniform
from .conv import Conv
from .linear import Linear

T = TypeVar("T")

Scale: TypeAlias = Float[Array, ""] | float | int


class LoRAWeights(eqx.Module):
    """The difference of one layer's weight, `alpha / rank * down up` (Hu et al. 2021, section 4.1).

    **Fields:**

    - `down`: a weight like the layer's with `rank` outputs; for a convolution with its kernel.
    - `up`: from there to the layer's outputs; for a convolution a 1x1 kernel.

    Where blocks are stacked, the arrays of both have the axis that numbers the blocks in front.
    - `alpha`: not trained. It keeps the size of the difference the same for other ranks.
    """

    down: Float[Array, "*kernel in rank"]
    up: Float[Array, "*stack rank out"]
    alpha: float = eqx.field(static=True)

    def scaled_up(self, scale: Scale) -> Float[Array, "*stack rank out"]:
        """`scale alpha / rank * up`."""
        return self.up * (scale * (self.alpha / self.up.shape[-2]))


Adapters: TypeAlias = dict[str, LoRAWeights]
"""Weights by the path of their layer, its attributes with dots: `down.0.stages.1.block.conv1`."""


class LoRALayer(eqx.Module):
    """`layer(x) + down(x) up`: a linear map or a convolution with an adapter.

    It stands where the layer stood, has its `weight` and `bias`, and may be wrapped again.

    **Fields:**

    - `layer`: a `Linear`, a `Conv` or a `LoRALayer` around one.
    - `down`: a layer of the same kind with `rank` outputs, without bias.
    - `up`: the map from these outputs to those of the layer.
    """

    layer: "Linear | Conv | LoRALayer"
    down: Linear | Conv
    up: Float[Array, "*stack rank out"]

    def __call__(self, x: Float[Array, "*rest in"]) -> Float[Array, "*new_rest out"]:
        """The layer's output with the difference added."""
        return self.layer(x) + self.down(x) @ self.up.astype(x.dtype)

    @property
    def weight(self) -> Float[Array, "*kernel in out"]:
        """The weight of a single layer that computes the same."""
        return _sum(self.layer.weight, self.down.weight, self.up)

    @property
    def bias(self) -> Float[Array, "out"] | None:
        """The bias of the layer."""
        return self.layer.bias


Layer: TypeAlias = Linear | Conv | LoRALayer
"""A layer that an adapter may belong to."""


def new_lora(
    network: PyTree,
    rank: int,
    *,
    layers: Sequence[str] = ("*attention.to_*",),
    alpha: float | None = None,
    key: Key,
) -> Adapters:
    """New adapters of some layers of a network: `down` random, `up` zero, so that nothing changes.

    **Arguments:**

    - `network`: any module with `Linear`s and `Conv`s.
    - `rank`: rank of the differences.
    - `layers`: patterns of paths, by default the projections of every attention, as is common;
        `("*",)` is every linear map and convolution.
    - `alpha`: see `LoRAWeights`; by default `rank`.
    - `key`: for `down`, uniform in `+-1/sqrt(inputs)`.

    **Raises** `ValueError` for a rank below 1 and for a pattern that matches no layer.
    """
    if rank < 1:
        raise ValueError(f"An adapter's rank is at least 1, received {rank}. Use 4 to 64.")
    by_path = dict(_layers(network))
    for pattern in layers:
        if not any(fnmatchcase(path, pattern) for path in by_path):
            raise ValueError(
                f"No layer of {type(network).__name__} matches '{pattern}'. Its layers are "
                f"{', '.join(list(by_path)[:4])} and {max(0, len(by_path) - 4)} more."
            )
    chosen = [path for path in by_path if any(fnmatchcase(path, pattern) for pattern in layers)]
    alpha = float(rank if alpha is None else alpha)
    adapters = {}
    for path, subkey in zip(chosen, split_key(key, len(chosen)), strict=True):
        layer = _innermost(by_path[path])
        *inputs, out = layer.weight.shape
        stack = inputs[: layer.weight.ndim - (4 if isinstance(layer, Conv) else 2)]
        bound = fan_in_bound(math.prod(inputs[len(stack) :]))
        down = uniform(subkey, (*inputs, rank), bound)
        adapters[path] = LoRAWeights(down, constant((*stack, rank, out), 0.0), alpha)
    return adapters


def with_lora_layers(network: T, adapters: Adapters, scale: Scale = 1.0) -> T:
    """The network with its layers wrapped in a `LoRALayer`. Several adapters may be nested.

    **Arguments:**

    - `network`: the module that the paths start from.
    - `adapters`: from `new_lora` or `interop.read_lora`.
    - `scale`: strength; 0 is the original network, 1 the strength of training. May be traced.

    **Raises** `ValueError` naming a layer that the network lacks, or that has another shape.
    """
    return _replaced(network, adapters, lambda layer, factors: _wrapped(layer, factors, scale))


def merge_lora(network: T, adapters: Adapters, scale: Scale = 1.0) -> T:
    """The network with the differences added to its weights; see `with_lora_layers`.

    The sum is float32 and is then rounded to the weight's dtype. A negative `scale` removes an
    adapter that was merged, up to that rounding.
    """
    return _replaced(network, adapters, lambda layer, factors: _summed(layer, factors, scale))


def _wrapped(layer: Layer, factors: LoRAWeights, scale: Scale) -> LoRALayer:
    down = eqx.tree_at(
        lambda layer: (layer.weight, layer.bias),
        _innermost(layer),
        (factors.down, None),
        is_leaf=lambda node: node is None,
    )
    return LoRALayer(layer, down, factors.scaled_up(scale))


def _summed(layer: Layer, factors: LoRAWeights, scale: Scale) -> Layer:
    if isinstance(layer, LoRALayer):
        return eqx.tree_at(lambda low: low.layer, layer, _summed(layer.layer, factors, scale))
    total = _sum(layer.weight, factors.down, factors.scaled_up(scale))
    return eqx.tree_at(lambda layer: layer.weight, layer, total)


def _sum(weight: Array, down: Array, up: Array) -> Array:
    down, up = down.astype(jnp.float32), up.astype(jnp.float32)
    # Accelerators would otherwise round the factors of the product to fewer bits.
    total = weight.astype(jnp.float32) + jnp.matmul(down, up, precision="highest")
    return total.astype(weight.dtype)


def _replaced(network: T, adapters: Adapters, change: Callable[[Layer, LoRAWeights], Layer]) -> T:
    layers = dict(_layers(network))
    unknown = sorted(set(adapters) - set(layers))
    if unknown:
        raise ValueError(
            f"{type(network).__name__} has no layer '{unknown[0]}' ({len(unknown)} of "
            f"{len(adapters)} are not there). The adapters are of another network."
        )
    for path, factors in adapters.items():
        shape = (*factors.down.shape[:-1], factors.up.shape[-1])
        expected = _innermost(layers[path]).weight.shape
        if shape != expected:
            raise ValueError(
                f"The adapter of '{path}' is for a weight of shape {shape}, but it has {expected}. "
                "The adapters are of a network of other sizes."
            )

    def replace(path: Any, node: Any) -> Any:
        name = path_name(path)
        return change(node, adapters[name]) if name in adapters else node

    return jax.tree_util.tree_map_with_path(replace, network, is_leaf=_is_layer)


def _layers(network: PyTree) -> list[tuple[str, Layer]]:
    nodes = jax.tree_util.tree_flatten_with_path(network, is_leaf=_is_layer)[0]
    return [(path_name(path), node) for path, node in nodes if _is_layer(node)]


def _innermost(layer: Layer) -> Linear | Conv:
    return _innermost(layer.layer) if isinstance(layer, LoRALayer) else layer


def _is_layer(node: object) -> TypeGuard[Layer]:
    return isinstance(node, Linear | Conv | LoRALayer)
