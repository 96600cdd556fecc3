"""The feed-forward layers of a transformer block.

The backward pass computes the parts of their activations again. So a loop over blocks stores the
hidden layer and what leaves the activation, and not what is between. Outside of a loop the compiler
decides. On a mesh with `fsdp` and `--remat none` blocks are wrapped whole, and all is stored.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Key
from ._init import split_key
from .linear import Linear

_recomputed = partial(jax.checkpoint, prevent_cse=False)


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
        hkey, okey = split_key(key)
        self.to_hidden = Linear(channels, 2 * expansion * channels, key=hkey)
        self.to_out = Linear(expansion * channels, channels, key=okey)

    def __call__(self, x: Float[Array, "tokens channels"]) -> Float[Array, "tokens channels"]:
        return self.to_out(_geglu(self.to_hidden(x)))


class MLP(eqx.Module):
    """`W2 gelu(W1 x)`, the hidden width 4 times the input's, as in DiT and Stable Diffusion 3.

    GELU is the approximate one, with the hyperbolic tangent.
    """

    to_hidden: Linear
    to_out: Linear

    def __init__(self, channels: int, *, expansion: int = 4, key: Key):
        """**Arguments:** as of `GEGLU`."""
        hkey, okey = split_key(key)
        self.to_hidden = Linear(channels, expansion * channels, key=hkey)
        self.to_out = Linear(expansion * channels, channels, key=okey)

    def __call__(self, x: Float[Array, "tokens channels"]) -> Float[Array, "tokens channels"]:
        return self.to_out(_gelu(self.to_hidden(x)))


class SwiGLU(eqx.Module):
    """`W2 (a * silu(b))` with `[a, b] = W1 x` (Shazeer 2020), without biases.

    The hidden width is two thirds of 4 times the input's, in whole multiples of 64, so that it has
    about the weights of an `MLP`.
    """

    to_hidden: Linear
    to_out: Linear

    def __init__(self, channels: int, *, hidden: int | None = None, key: Key):
        """**Arguments:**

        - `channels`: width in and out.
        - `hidden`: hidden width, by default `8/3 channels` rounded up to a multiple of 64.
        - `key`: for the initial weights.
        """
        hkey, okey = split_key(key)
        hidden = 64 * -(-8 * channels // 192) if hidden is None else hidden
        self.to_hidden = Linear(channels, 2 * hidden, bias=False, key=hkey)
        self.to_out = Linear(hidden, channels, bias=False, key=okey)

    def __call__(self, x: Float[Array, "tokens channels"]) -> Float[Array, "tokens channels"]:
        return self.to_out(_swiglu(self.to_hidden(x)))


@_recomputed
def _geglu(hidden: Float[Array, "*rest both"]) -> Float[Array, "*rest half"]:
    # In float32 and with erf a GPU keeps no part of it; jax.nn.gelu is kept in bfloat16. Where GELU
    # is within 1e-6 of 0, 1 + erf has fewer digits than erfc, as in PyTorch.
    wide = hidden.astype(jnp.promote_types(hidden.dtype, jnp.float32))
    value, gate = jnp.split(wide, 2, axis=-1)
    gated = value * (0.5 * gate * (1 + jax.lax.erf(gate * 0.5**0.5)))
    return gated.astype(hidden.dtype)


@_recomputed
def _gelu(hidden: Float[Array, "*rest hidden"]) -> Float[Array, "*rest hidden"]:
    return jax.nn.gelu(hidden, approximate=True)


@_recomputed
def _swiglu(hidden: Float[Array, "*rest both"]) -> Float[Array, "*rest half"]:
    value, gate = jnp.split(hidden, 2, axis=-1)
    return value * jax.nn.silu(gate)
