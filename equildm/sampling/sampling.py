"""Sampling: from noise to a latent."""

from typing import Any

import diffrax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._types import Condition, Key
from .solve import Levels, OURS, solve, Tensor, to_clean
from .solvers import DDIM
from .terms import Denoiser

_DDIM = DDIM()


def sample(
    denoiser: Denoiser,
    noise: Tensor,
    levels: Levels,
    solver: diffrax.AbstractSolver = _DDIM,
    *,
    condition: Condition = None,
    key: Key | None = None,
    **options: Any,
) -> Tensor:
    """One sample.

        levels = grids.trailing(schedule, 50)
        latent = sample(denoiser, noise, levels, DPMpp2M(), condition=text)

    For a batch, `jax.vmap` over `noise`, `condition` and `key`, but not over `levels`: with one
    grid for all, the loop is a plain loop. Solvers of this library step to a last level of 0. A
    solver of diffrax stops at the lowest level above 0; from there one evaluation of the denoiser
    leads to 0, as in the public samplers.

    **Arguments:**

    - `denoiser`: `(y, s, condition) -> clean estimate`, see `equildm.denoise.AbstractDenoiser`.
    - `noise`: unit noise of the shape of the latent: the noisy latent `x` at the first level.
    - `levels`: the noise levels to step through, see `equildm.noise.grids`. They may be traced, and
        padded by `grids.pad`, so that one compilation serves many grids.
    - `solver`: a solver of this library (by default `DDIM()`) or of diffrax.
    - `condition`: passed to the denoiser.
    - `key`: for stochastic solvers (see `needs_key`); others ignore it.
    - `options`: see `solve`.

    **Returns:** the state at the last level, on the scale of the data; at level 0, the latent.
    """
    y = from_noise(noise, levels)
    return sample_from(denoiser, y, levels, solver, condition=condition, key=key, **options)


def sample_from(
    denoiser: Denoiser,
    y: Tensor,
    levels: Levels,
    solver: diffrax.AbstractSolver = _DDIM,
    *,
    condition: Condition = None,
    key: Key | None = None,
    **options: Any,
) -> Tensor:
    """As `sample`, but from a state `y` at the first level instead of from pure noise.

    `latent + levels[0] * noise` is a latent noised to that level. Image to image starts there:

        rest = tail(levels, strength=0.6)
        sample_from(denoiser, latent + rest[0] * noise, rest, condition=text)
    """
    solution = solve(denoiser, y, levels, solver, condition=condition, key=key, **options)
    assert solution.ys is not None
    y = solution.ys[-1]
    return y if isinstance(solver, OURS) else to_clean(denoiser, y, levels, condition)


def tail(levels: Float[np.ndarray, "levels"], strength: float) -> Float[np.ndarray, "rest"]:
    """The last share `strength` of a grid's steps, at least one step.

    For 50 steps and 0.6 these are the last 30, as in the public image-to-image pipelines. Padding
    is no step and is left out.

    **Raises** `ValueError` for a strength outside of (0, 1].
    """
    if not 0 < strength <= 1:
        raise ValueError(
            f"Strength is a share of the steps in (0, 1], received {strength}. Use 0.6."
        )
    levels = levels[: np.argmax(levels == levels[-1]) + 1]
    steps = max(1, int((len(levels) - 1) * strength))
    return levels[-steps - 1 :]


def from_noise(noise: Tensor, levels: Levels) -> Tensor:
    """The initial state `y = sqrt(1 + s^2) noise`.

    That is the standard deviation of `y = x0 + s z` for data of unit variance, whatever `alpha` and
    `sigma` a schedule has at the level `s`.
    """
    noise = noise.astype(jnp.promote_types(noise.dtype, jnp.float32))
    return noise * jnp.sqrt(1 + jnp.asarray(levels[0], noise.dtype) ** 2)
