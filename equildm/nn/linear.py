"""A linear map on the last axis."""

from typing import TypeVar

import equinox as eqx
import jax
from jaxtyping import Array, Float

from .._types import Key
from ._init import fan_in_bound, split_key, uniform, zeros_like

T = TypeVar("T")


class Linear(eqx.Module):
    """`y = x W + b` on the last axis of `x`, with any axes before it.

    The weight is stored `(in, out)`, so that its last axis is the output as in a convolution's
    kernel. The product is taken in `x`'s dtype.
    """

    weight: Float[Array, "in_features out_features"]
    bias: Float[Array, "out_features"] | None

    def __init__(self, in_features: int, out_features: int, *, bias: bool = True, key: Key):
        """**Arguments:**

        - `in_features`, `out_features`: sizes of the last axis before and after.
        - `bias`: whether to add a bias.
        - `key`: for the initial weights, uniform in `+-1/sqrt(in_features)`.
        """
        wkey, bkey = split_key(key)
        bound = fan_in_bound(in_features)
        self.weight = uniform(wkey, (in_features, out_features), bound)
        self.bias = uniform(bkey, (out_features,), bound) if bias else None

    def __call__(self, x: Float[Array, "*rest in_features"]) -> Float[Array, "*rest out_features"]:
        if x.shape[-1] != self.weight.shape[0]:
            raise ValueError(
                f"Linear takes a last axis of {self.weight.shape[0]}, received shape {x.shape}. "
                "Give it features of that width, or build it with in_features="
                f"{x.shape[-1]}."
            )
        y = x @ self.weight.astype(x.dtype)
        return y if self.bias is None else y + self.bias.astype(x.dtype)


def zeroed(layer: T) -> T:
    """The same layer with weight and bias zero, so that its output is 0 before training."""
    return jax.tree.map(zeros_like, layer)
