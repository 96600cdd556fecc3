"""The gated feed-forward layer of a transformer block."""

import equinox as eqx
import jax
from jaxtyping import Array, Float

from .._types import Key
from .linear import Linear


class GEGLU(eqx.Module):
    """`W2 (a * gelu(b))` with `[a, b] = W1 x` (Shazeer 2020), the hidden width 4 times the input's.

    GELU is the exact one, with the error function.
    """

    to_hidden: Linear
    to_out: Linear

    def __init__(self, channels: int, *, expansion: int = 4, key: Key):
        """**Arguments:**

        - `channels`: width in and out.
        - `expansion`: hidden width in multiples of `channels`.
        - `key`: for the initial weights.
        """
        hkey, okey = jax.random.split(key)
        self.to_hidden = Linear(channels, 2 * expansion * channels, key=hkey)
        self.to_out = Linear(expansion * channels, channels, key=okey)

    def __call__(self, x: Float[Array, "tokens channels"]) -> Float[Array, "tokens channels"]:
        hidden = self.to_hidden(x)
        half = hidden.shape[-1] // 2
        value, gate = hidden[..., :half], hidden[..., half:]
        return self.to_out(value * jax.nn.gelu(gate, approximate=False))
