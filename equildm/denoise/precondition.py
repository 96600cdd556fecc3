"""From a trained network to a denoiser."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Latent, NoiseLevel
from ..noise import AbstractPrediction, AbstractSchedule
from .denoiser import AbstractDenoiser


class Preconditioned(AbstractDenoiser):
    """A variance-preserving network seen in the noise-level frame.

        alpha = 1 / sqrt(1 + s^2),  sigma = s alpha,  x = alpha y,  t = schedule.time(s)
        D(y, s) = prediction.clean(x, network(x, t, condition), alpha, sigma)

    The scalings are float32 whatever the network computes in.

    **Fields:**

    - `network`: `(x, t, condition) -> output`, `t` in units of the schedule's steps.
    - `schedule`, `prediction`: those it was trained with.
    - `compute`: dtype of the network's arithmetic.
    """

    network: Callable[..., Latent]
    schedule: AbstractSchedule
    prediction: AbstractPrediction
    compute: str | None = eqx.field(static=True, default=None)

    def __call__(self, y: Latent, s: NoiseLevel, condition: Any) -> Latent:
        """See `AbstractDenoiser`."""
        alpha = jax.lax.rsqrt(1 + s**2)
        x = alpha * y
        output = self.network(x.astype(self.compute or y.dtype), self.schedule.time(s), condition)
        clean = self.prediction.clean(x, output.astype(x.dtype), alpha, s * alpha)
        return jnp.asarray(clean, y.dtype)
