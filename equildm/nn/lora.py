"""Low-rank adapters (LoRA): a small trained difference to layers whose weights stay as they are.

`Adapters` is what is trained, stored and exchanged: the factors of some layers of a network, by the
path of each. They act on any network that has these layers, wrapped around them or added to them:

    adapters = new_adapters(network, rank=8, key=key)
    adapted = with_adapters(network, adapters)      # two thin products more for each layer
    same = merged(network, adapters, scale=0.7)     # as fast as before, and final
"""

import math
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Key
from ._init import constant, fan_in_bound, uniform
from .conv import Conv
from .linear import Linear

Scale: TypeAlias = Float[Array, ""] | float | int


class Factors(eqx.Module):
    """The difference of one layer's weight, `alpha / rank * down up` (Hu et al. 2021, section 4.1).

    **Fields:**

    - `down`: the layer's weight with `rank` outputs: of a convolution it has its kernel.
    - `up`: from there to the layer's outputs; of a convolution a 1x1 one.
    - `alpha`: not trained. It keeps the size of the difference while one tries other ranks.
    """

    down: Float[Array, "*kernel in rank"]
    up: Float[Array, "rank out"]
    alpha: float = eqx.field(static=True)

    def scaled_up(self, scale: Scale) -> Float[Array, "rank out"]:
        """`scale alpha / rank * up`."""
        return self.up * (scale * (self.alpha / self.up.shape[0]))


Adapters: TypeAlias = dict[str, Factors]
"""Factors by the attributes that lead to their layer, with dots: `down.0.stages.1.block.conv1`."""


class LowRank(eqx.Module):
    """`layer(x) + down(x) up`: a linear map or a convolution with an adapter.

    It stands where the layer stood, has its `weight` and `bias`, and may be wrapped again.

    **Fields:**

    - `layer`: a `Linear`, a `Conv` or a `LowRank` around one.
    - `down`: a layer of the same kind, without bias.
    - `up`: its outputs to the layer's.
    """

    layer: Any
    down: Any
    up: Float[Array, "rank out"]

    def __call__(self, x: Float[Array, "*rest in"]) -> Float[Array, "*new_rest out"]:
        """See the layer's own."""
        return self.layer(x) + self.down(x) @ self.up.astype(x.dtype)

    @property
    def weight(self) -> Float[Array, "*kernel in out"]:
        """The weight of one layer that does the same."""
        return _sum(self.layer.weight, self.down.weight, self.up)

    @property
    def bias(self) -> Float[Array, "out"] | None:
        """The layer's."""
        return self.layer.bias


def new_adapters(
    network: Any,
    rank: int,
    *,
    layers: Sequence[str] = ("*attention.to_*",),
    alpha: float | None = None,
    key: Key,
) -> Adapters:
    """Factors for some layers of a network: `down` random, `up` zero, so that nothing changes yet.

    **Arguments:**

    - `network`: any module with `Linear`s and `Conv`s.
    - `rank`: of the differences.
    - `layers`: patterns of paths, by default the projections of every attention, where LoRA is put
        by custom; `("*",)` is every linear map and convolution.
    - `alpha`: see `Factors`; by default `rank`.
    - `key`: for `down`, uniform in `+-1/sqrt(inputs)`.

    **Raises** `ValueError` for a rank below 1 and for a pattern that matches no layer.
    """
    if rank < 1:
        raise ValueError(f"An adapter's rank is at least 1, received {rank}. Use 4 to 64.")
    found = dict(_layers(network))
    for pattern in layers:
        if not any(fnmatchcase(path, pattern) for path in found):
            raise ValueError(
                f"No layer of {type(network).__name__} matches '{pattern}'. Its layers are "
                f"{', '.join(list(found)[:4])} and {max(0, len(found) - 4)} more."
            )
    chosen = [path for path in found if any(fnmatchcase(path, pattern) for pattern in layers)]
    alpha = float(rank if alpha is None else alpha)
    adapters = {}
    for path, subkey in zip(chosen, jax.random.split(key, len(chosen)), strict=True):
        *inputs, out = _innermost(found[path]).weight.shape
        down = uniform(subkey, (*inputs, rank), fan_in_bound(math.prod(inputs)))
        adapters[path] = Factors(down, constant((rank, out), 0.0), alpha)
    return adapters


def with_adapters(network: Any, adapters: Adapters, scale: Scale = 1.0) -> Any:
    """The network with its layers wrapped (`LowRank`). Several adapters go one around the other.

    **Arguments:**

    - `network`: the module that the paths start from.
    - `adapters`: as `new_adapters` makes or `interop.read_lora` reads them.
    - `scale`: strength; 0 is the network as it was, 1 what was trained. May be traced.

    **Raises** `ValueError` naming a layer that the network lacks, or that has another shape.
    """
    return _replaced(network, adapters, lambda layer, factors: _wrapped(layer, factors, scale))


def merged(network: Any, adapters: Adapters, scale: Scale = 1.0) -> Any:
    """The network with the differences added to its weights; see `with_adapters`.

    The sum is float32 and is then rounded to the weight's dtype: a negative `scale` takes a
    merged adapter out again up to that rounding.
    """
    return _replaced(network, adapters, lambda layer, factors: _summed(layer, factors, scale))


def _wrapped(layer: Any, factors: Factors, scale: Scale) -> LowRank:
    down = eqx.tree_at(
        lambda layer: (layer.weight, layer.bias),
        _innermost(layer),
        (factors.down, None),
        is_leaf=lambda node: node is None,
    )
    return LowRank(layer, down, factors.scaled_up(scale))


def _summed(layer: Any, factors: Factors, scale: Scale) -> Any:
    if isinstance(layer, LowRank):
        return eqx.tree_at(lambda low: low.layer, layer, _summed(layer.layer, factors, scale))
    total = _sum(layer.weight, factors.down, factors.scaled_up(scale))
    return eqx.tree_at(lambda layer: layer.weight, layer, total)


def _sum(weight: Array, down: Array, up: Array) -> Array:
    down, up = down.astype(jnp.float32), up.astype(jnp.float32)
    # Accelerators would otherwise round the factors of the product to fewer bits.
    total = weight.astype(jnp.float32) + jnp.matmul(down, up, precision="highest")
    return total.astype(weight.dtype)


def _replaced(network: Any, adapters: Adapters, change: Callable[[Any, Factors], Any]) -> Any:
    layers = dict(_layers(network))
    unknown = sorted(set(adapters) - set(layers))
    if unknown:
        raise ValueError(
            f"{type(network).__name__} has no layer '{unknown[0]}' ({len(unknown)} of "
            f"{len(adapters)} are not there). The adapters are of another network."
        )
    for path, factors in adapters.items():
        shape = (*factors.down.shape[:-1], factors.up.shape[-1])
        wanted = _innermost(layers[path]).weight.shape
        if shape != wanted:
            raise ValueError(
                f"The adapter of '{path}' is for a weight of shape {shape}, and it has {wanted}. "
                "The adapters are of a network of other sizes."
            )

    def replace(path: Any, node: Any) -> Any:
        name = _name(path)
        return change(node, adapters[name]) if name in adapters else node

    return jax.tree_util.tree_map_with_path(replace, network, is_leaf=_is_layer)


def _layers(network: Any) -> list[tuple[str, Any]]:
    nodes = jax.tree_util.tree_flatten_with_path(network, is_leaf=_is_layer)[0]
    return [(_name(path), node) for path, node in nodes if _is_layer(node)]


def _innermost(layer: Any) -> Any:
    return _innermost(layer.layer) if isinstance(layer, LowRank) else layer


def _is_layer(node: Any) -> bool:
    return isinstance(node, Linear | Conv | LowRank)


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")
