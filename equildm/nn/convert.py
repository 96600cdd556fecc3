"""Layers whose weights are converted once, ahead of the loop that uses them."""

from typing import TypeVar

import equinox as eqx
import jax

from .conv import Conv
from .linear import Linear
from .time import TimeEmbedding

T = TypeVar("T")


def convert_layers(module: T, dtype: str) -> T:
    """The module with the weights of its convolutions and linear maps in a dtype.

    It computes the same: these layers convert their weights to the dtype of their input anyway.
    Norms and embeddings of the time compute in float32, and keep their weights.

    **Arguments:**

    - `module`: any tree with layers.
    - `dtype`: of the activations.
    """

    def converted(part: T) -> T:
        if not isinstance(part, Conv | Linear):
            return part
        return jax.tree.map(lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, part)

    stop = (Conv, Linear, TimeEmbedding)
    return jax.tree.map(converted, module, is_leaf=lambda part: isinstance(part, stop))
