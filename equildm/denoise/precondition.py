"""From a trained network to a denoiser."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from .._types import Latent, NoiseLevel
from ..noise import AbstractPrediction, AbstractSchedule
from .denoiser import AbstractDenoiser


class Preconditioned(AbstractDenoiser):
    """A network seen in the noise-level frame.

        alpha = schedule.alpha_at(s),  sigma = schedule.sigma_at(s),  t = schedule.time(s)
        x = alpha y,  D(y, s) = prediction.clean(x, network(x, t, condition), alpha, sigma)

    The scalings are float32 whatever the network computes in.

    **Raises** `ValueError` for a prediction that cannot be sampled on the schedule, see
    `AbstractPrediction.check_schedule`, and when called for a network whose output has not the
    shape of its latent.

    **Fields:**

    - `network`: `(x, t, condition) -> output`, `t` in units of the schedule's steps.
    - `schedule`, `prediction`: those it was trained with.
    - `compute`: dtype of the network's arithmetic.
    """

    network: Callable[..., Latent]
    schedule: AbstractSchedule
    prediction: AbstractPrediction
    compute: str | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        self.prediction.check_schedule(self.schedule)
        dtypes = (None, "float32", "bfloat16", "float16", "float64")
        if self.compute not in dtypes:
            raise ValueError(
                f"A network computes in float32, bfloat16, float16 or float64, by name; received "
                f"{self.compute!r}."
            )

    def __call__(self, y: Latent, s: NoiseLevel, condition: Any) -> Latent:
        """See `AbstractDenoiser`."""
        alpha, sigma = self.schedule.alpha_at(s), self.schedule.sigma_at(s)
        x = alpha * y
        output = self.network(x.astype(self.compute or y.dtype), self.schedule.time(s), condition)
        check_output(output, x)
        clean = self.prediction.clean(x, output.astype(x.dtype), alpha, sigma)
        return jnp.asarray(clean, y.dtype)


def check_output(output: Array, latent: Latent) -> None:
    """**Raises** `ValueError` for an output of another shape: broadcasting would hide it."""
    if output.shape != latent.shape:
        raise ValueError(
            f"A network's output has the shape of its latent, {latent.shape}; received an output "
            f"of {output.shape}. Check the channels of its last layer."
        )
