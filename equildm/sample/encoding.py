"""The way back: from a latent to the noise it comes from."""

from typing import Any

import diffrax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .sampling import solve, Tensor
from .solvers import Heun
from .terms import Denoiser

_HEUN = Heun()


def encode(
    denoiser: Denoiser,
    latent: Tensor,
    levels: Float[np.ndarray, "levels"],
    solver: diffrax.AbstractSolver = _HEUN,
    **options: Any,
) -> Float[Array, "*shape"]:
    """The noise from which `sample` makes this latent: the probability flow, run upwards.

    Known as DDIM inversion when the solver is `DDIM()` (Song et al. 2021, section 5.4); one of
    higher order, or an adaptive one, comes closer. The latent is taken for the state at the lowest
    level above 0, so that the round trip ends there: `sample` on `levels[levels > 0]`.

    **Arguments:** as in `sample`; `levels` is the grid that sampling would use, falling. An
    unguided model inverts best: guidance makes the flow stiffer.
    """
    rising = np.unique(levels[levels > 0])
    solution = solve(denoiser, latent, rising, solver, **options)
    assert solution.ys is not None
    return solution.ys[-1] / jnp.sqrt(1 + rising[-1] ** 2).astype(latent.dtype)
