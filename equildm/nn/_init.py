"""Drawing initial weights without compiling one program for each shape."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import Key


def uniform(key: Key, shape: tuple[int, ...], bound: float) -> Float[Array, "..."]:
    """Draws from the uniform distribution on `[-bound, bound)` in float32.

    With a concrete key the numbers come from numpy's Philox generator, seeded by the key: a
    network of 700 arrays is then made in well under a second, where `jax.random` would compile a
    program for each new shape (12 s measured). Under a trace (`eqx.filter_eval_shape`,
    `eqx.filter_jit`) it falls back to `jax.random`: the same distribution, other numbers.
    """
    if isinstance(key, jax.core.Tracer):
        return jax.random.uniform(key, shape, jnp.float32, -bound, bound)
    seed = np.asarray(jax.random.key_data(key)).tolist()
    draw = np.random.Generator(np.random.Philox(seed)).random(shape, np.float32)
    return jax.device_put((2.0 * draw - 1.0) * np.float32(bound))


def fan_in_bound(fan_in: int) -> float:
    """`1 / sqrt(fan_in)`: PyTorch's default for convolutions and linear maps, weight and bias."""
    return 1.0 / math.sqrt(fan_in)


def constant(shape: tuple[int, ...], value: float) -> Float[Array, "..."]:
    """A float32 array of one value, made by numpy so that no shape compiles."""
    return jax.device_put(np.full(shape, value, np.float32))
