"""The noise that samples start from: by seed and number, and between two noises."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._types import Key

Tensor = Float[Array, "*shape"]


def example_noise(
    key: Key, index: Int[Array, ""] | int, shape: tuple[int, ...]
) -> tuple[Tensor, Key]:
    """Unit noise for the example of that number, and a key for its solver.

    It depends on the seed and the number alone: example 17 is the same image in any batch, on any
    number of devices. `jax.vmap(lambda i: example_noise(key, i, shape))(jnp.arange(n))` makes a
    batch.

    **Arguments:**

    - `key`: of the seed.
    - `index`: the number of the example.
    - `shape`: of the noise.
    """
    noise_key, solver_key = jax.random.split(jax.random.fold_in(key, index))
    return jax.random.normal(noise_key, shape, jnp.float32), solver_key


def slerp(a: Tensor, b: Tensor, t: Float[Array, ""] | float) -> Tensor:
    """From `a` (t = 0) to `b` (t = 1) along the sphere (Shoemake 1985):

        (sin((1 - t) w) a + sin(t w) b) / sin w,    w the angle between them

    The noise keeps its norm, which linear interpolation would not. If the angle is near 0 or pi,
    where the formula is 0 / 0, the interpolation is linear.
    """
    cosine = jnp.sum(a * b) / (jnp.linalg.norm(a.ravel()) * jnp.linalg.norm(b.ravel()))
    curved = jnp.abs(cosine) < 1 - 1e-6
    angle = jnp.arccos(jnp.where(curved, cosine, 0))
    from_a = jnp.where(curved, jnp.sin((1 - t) * angle) / jnp.sin(angle), 1 - t)
    from_b = jnp.where(curved, jnp.sin(t * angle) / jnp.sin(angle), t)
    return from_a * a + from_b * b
