"""What the exponential integrators share.

In `lambda = -log s` the probability flow is `dy/dlambda = D - y`. Over a step of length
`h = log(s0 / s1)` its exact solution is a weighted mean of the clean estimates along the step:

    y1 = (s1 / s0) y0 + (1 - s1 / s0) Dbar,    Dbar = E[D(theta)]

where theta in [0, 1] is the position within the step, with density proportional to
`exp(-(1 - theta) h)`. A multistep method replaces D by the polynomial through the estimates that it
has, so it takes the moments of theta and divided differences of the estimates.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..._types import NoiseLevel
from .base import Tensor

Scalar = Float[Array, ""]


def decay(y: Tensor, average: Tensor, s0: NoiseLevel, s1: NoiseLevel) -> Tensor:
    """`(s1 / s0) y + (1 - s1 / s0) average`; at `s1 = 0`, `average`."""
    return average + (s1 / s0) * (y - average)


def noisy_decay(
    y: Tensor,
    average: Tensor,
    s0: NoiseLevel,
    s1: NoiseLevel,
    z: Tensor,
    eta: Scalar | float = 1.0,
    noise_scale: Scalar | float = 1.0,
) -> Tensor:
    """The exact solution of the SDE with the share `eta` of its noise, for one clean estimate:

        q = (s1 / s0)^(1 + eta)
        y1 = q y + (1 - q) average + s1 sqrt(1 - (s1 / s0)^(2 eta)) z

    With `eta = 0` it is `decay`.
    """
    h = step_length(s0, s1)
    share = jnp.where(s1 > 0, jnp.exp(-(1 + eta) * h), 0)
    fresh = s1 * root(-jnp.expm1(-2 * eta * h))
    return average + share * (y - average) + fresh * noise_scale * z


def far(s0: NoiseLevel, s1: NoiseLevel) -> Bool[Array, ""]:
    """Whether a step begins so far above the data that the clean estimate does not change in it.

    There a step of order 1 is exact, and higher orders magnify the estimates' error by `s0 / s1`.
    """
    return (s0 > 100) & (s0 > 10 * s1)


def step_length(s0: NoiseLevel, s1: NoiseLevel) -> Scalar:
    """`h = log(s0 / s1)`; 1 for a step to 0, where h is infinite and its uses are masked."""
    return jnp.where(s1 > 0, jnp.log(s0) - jnp.log(jnp.where(s1 > 0, s1, s0)), 1)


def middle(s0: NoiseLevel, s1: NoiseLevel) -> Scalar:
    """`sqrt(s0 s1)`, half of the step in `log s`; for a step to 0, `s0 / 2`."""
    return jnp.sqrt(s0) * jnp.sqrt(jnp.where(s1 > 0, s1, s0 / 4))


def root(square: Scalar) -> Scalar:
    """The square root, and 0 with a gradient of 0 where there is none."""
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def moments(h: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """`E[theta], E[theta^2], E[theta^3]`, with `E[theta^k] = k! phi_{k+1}(h) / phi_1(h)`.

    `phi_1 = (1 - e^-h) / h` and `phi_{k+1} = (1/k! - phi_k) / h`. For short steps this recursion
    cancels, and the series `phi_k = sum_j (-h)^j / (j + k)!` is used.
    """
    small = jnp.abs(h) < 1
    safe = jnp.where(small, 1, h)
    recursion = [-jnp.expm1(-safe) / safe]
    for k in range(1, 4):
        recursion.append((1 / math.factorial(k) - recursion[-1]) / safe)
    short = jnp.where(small, h, 0)
    phi = [jnp.where(small, _series(short, k + 1), recursion[k]) for k in range(4)]
    return phi[1] / phi[0], 2 * phi[2] / phi[0], 6 * phi[3] / phi[0]


def _series(h: Scalar, k: int, terms: int = 17) -> Scalar:
    total = jnp.zeros_like(h)
    for j in reversed(range(terms)):
        total = 1 / math.factorial(j + k) - h * total
    return total
