"""Adaptive layer norm: a vector that shifts, scales and gates the layers of a block."""

import equinox as eqx
import jax
from jaxtyping import Array, Float

from .._types import Key
from ._init import constant
from .linear import Linear, zeroed


def modulate(
    x: Float[Array, "tokens width"], shift: Float[Array, "width"], scale: Float[Array, "width"]
) -> Float[Array, "tokens width"]:
    """`x (1 + scale) + shift`."""
    return x * (1 + scale) + shift


class Modulation(eqx.Module):
    """`W silu(c) + b`, cut into vectors: the shifts, scales and gates of a block.

    adaLN-zero (Peebles & Xie 2023, section 3.2): `W` and `b` are zero at first, so that every gate
    is closed and a block is the identity.
    """

    projection: Linear
    parts: int = eqx.field(static=True)

    def __init__(self, width: int, parts: int, *, key: Key):
        """**Arguments:**

        - `width`: of the condition, and of each vector.
        - `parts`: number of vectors.
        - `key`: not looked at; the weights are zero.
        """
        self.projection = zeroed(Linear(width, parts * width, key=key))
        self.parts = parts

    def __call__(self, condition: Float[Array, "width"]) -> Float[Array, "parts width"]:
        return self.projection(jax.nn.silu(condition)).reshape(self.parts, -1)


class ModulationTable(eqx.Module):
    """A table that is added to vectors which all blocks share.

    adaLN-single (Chen et al. 2023, section 2.3): one `Modulation` serves the entire network, and a
    block has only `parts x width` numbers of its own, which are zero at first. A condition of one
    vector is added to every row.
    """

    table: Float[Array, "*stack parts width"]

    def __init__(self, width: int, parts: int, *, key: Key):
        """**Arguments:** as of `Modulation`."""
        del key
        self.table = constant((parts, width), 0.0)

    def __call__(
        self, condition: Float[Array, "parts width"] | Float[Array, "width"]
    ) -> Float[Array, "parts width"]:
        return self.table.astype(condition.dtype) + condition
