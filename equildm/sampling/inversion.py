"""Inversion: from a latent to the noise that sampling would make it of."""

import math
from typing import Any

import diffrax
import numpy as np
from jaxtyping import Array, Float

from .solve import solve, Tensor
from .solvers import Heun
from .terms import Denoiser

_HEUN = Heun()


def invert(
    denoiser: Denoiser,
    latent: Tensor,
    levels: Float[np.ndarray, "levels"],
    solver: diffrax.AbstractSolver = _HEUN,
    **options: Any,
) -> Float[Array, "*shape"]:
    """The noise from which `sample` makes this latent: the probability flow, solved upwards.

    With `DDIM()` it is DDIM inversion (Song et al. 2021, section 5.4). A solver of higher order or
    with adaptive steps is more accurate. The latent is taken as the state at the lowest level above
    0, so the way back is `sample` on `levels[levels > 0]`. Guidance makes the flow stiffer: invert
    without it where you can.

    **Arguments:**

    - `denoiser`: `(y, s, condition) -> clean estimate`.
    - `latent`: a clean latent.
    - `levels`: the grid that sampling would use, falling.
    - `solver`: a deterministic solver.
    - `options`: see `solve`.

    **Returns:** the noise, of about unit variance, that `sample` starts from.
    """
    rising = np.unique(levels[levels > 0])
    solution = solve(denoiser, latent, rising, solver, **options)
    assert solution.ys is not None
    # A Python number: in the latent's dtype, the highest level of float16 would be infinite.
    return solution.ys[-1] / math.sqrt(1 + float(rising[-1]) ** 2)
