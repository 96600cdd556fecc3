"""Layers whose weights are converted once, ahead of the loop that uses them."""

from typing import TypeVar

import equinox as eqx
import jax

from .conv import Conv
from .linear import Linear
from .lora import LoRALayer
from .time import TimeEmbedding

T = TypeVar("T")

_LAYERS = (Conv, Linear, LoRALayer)


def convert_layers(module: T, dtype: str) -> T:
    """The module with the weights of its convolutions and linear maps in a dtype.

    It computes the same, if the input of each of these layers has that dtype: they convert their
    weights to it anyway. Norms and embeddings of the time compute in float32, and keep theirs.

    **Arguments:**

    - `module`: any tree with layers.
    - `dtype`: of the activations.
    """

    def converted(part: T) -> T:
        if not isinstance(part, _LAYERS):
            return part
        return jax.tree.map(lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, part)

    stop = (*_LAYERS, TimeEmbedding)
    return jax.tree.map(converted, module, is_leaf=lambda part: isinstance(part, stop))
