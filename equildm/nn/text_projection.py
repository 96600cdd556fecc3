"""From a text encoder's vectors to the width of a network."""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
from jaxtyping import Array, Float

from .._types import Key
from ._init import split_key
from .linear import Linear


class TextProjection(eqx.Module):
    """`W2 f(W1 x)` on the last axis, with the approximate GELU as `f` (Chen et al. 2023)."""

    hidden: Linear
    out: Linear
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def __init__(
        self,
        in_width: int,
        width: int,
        *,
        activation: Callable[[Array], Array] = partial(jax.nn.gelu, approximate=True),
        key: Key,
    ):
        """**Arguments:**

        - `in_width`: of the text encoder's vectors.
        - `width`: of the hidden layer and of the result.
        - `activation`: PixArt's for tokens by default; Stable Diffusion 3 has `jax.nn.silu` for
            the vector of a caption.
        - `key`: for the initial weights.
        """
        hkey, okey = split_key(key)
        self.hidden = Linear(in_width, width, key=hkey)
        self.out = Linear(width, width, key=okey)
        self.activation = activation

    def __call__(self, x: Float[Array, "*rest in_width"]) -> Float[Array, "*rest width"]:
        return self.out(self.activation(self.hidden(x)))
