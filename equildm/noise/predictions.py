"""What a network predicts, and the clean estimate that follows from its output.

With `x = alpha x0 + sigma eps`:

| prediction | target | clean estimate | noise estimate |
|---|---|---|---|
| `Epsilon` | eps | (x - sigma out) / alpha | out |
| `Velocity` | alpha eps - sigma x0 | alpha x - sigma out | sigma x + alpha out |
| `Clean` | x0 | out | (x - alpha out) / sigma |

(Ho et al. 2020; Salimans & Ho 2022, appendix D.) `FlowVelocity` and `EDMPrediction` are two more.
"""

import abc
from typing import TypeAlias

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .schedules import AbstractSchedule

Tensor: TypeAlias = Float[Array, "*shape"]
Scalar: TypeAlias = Float[Array, ""]


class AbstractPrediction(eqx.Module):
    """A parameterisation of the denoiser. Tensors are of one shape, which may be any."""

    @abc.abstractmethod
    def target(self, clean: Tensor, noise: Tensor, alpha: Scalar, sigma: Scalar) -> Tensor:
        """The output that the network is trained for."""

    @abc.abstractmethod
    def clean(self, x: Tensor, output: Tensor, alpha: Scalar, sigma: Scalar) -> Tensor:
        """The estimate of `x0` that follows from an output."""

    @abc.abstractmethod
    def noise(self, x: Tensor, output: Tensor, alpha: Scalar, sigma: Scalar) -> Tensor:
        """The estimate of `eps` that follows from an output."""

    @abc.abstractmethod
    def error_scale(self, snr: Scalar) -> Scalar:
        """Squared error of the output over squared error of the clean estimate."""

    def check_schedule(self, schedule: AbstractSchedule) -> None:
        """**Raises** `ValueError` for a schedule on which this cannot be predicted."""


class Epsilon(AbstractPrediction):
    """The network predicts the noise; `error_scale` is `snr`."""

    def target(self, clean: Tensor, noise: Tensor, alpha: Scalar, sigma: Scalar) -> Tensor:
        return noise

    def clean(self, x: Tensor, output: Tensor, alpha: Scalar, sigma: Scalar) -> Tensor:
        return (x - sigma * output) / alpha

    def noise(self, x: Tensor, output: Tensor, alpha: Scalar, sigma: Scalar) -> Tensor:
        return output

    def error_scale(self, snr: Scalar) -> Scalar:
        return snr

    def check_schedule(self, schedule: AbstractSchedule) -> None:
        """Where a schedule ends without signal the input is the noise itself: to predict it says
        nothing of the data, and the clean estimate is 0 / 0 (Lin et al. 2023, section 3.2).
        """
        if schedule.ends_without_signal:
            raise ValueError(
                "A schedule with zero terminal SNR needs a network that predicts a velocity or the "
                f"clean latent, received {type(self).__name__} and {schedule}. Use Velocity() or "
                "FlowVelocity(), or a schedule that is not rescaled."
            )


class Velocity(AbstractPrediction):
    """The network predicts `v = alpha eps - sigma x0`; `error_scale` is `snr + 1`.

    The estimates are those of a schedule that preserves the variance.
    """

    def target(self, clean: Tensor, noise: Tensor, alpha: Scalar, sigma: Scalar) -> Tensor:
        return alpha * noise - sigma * clean

    def clean(self, x: Tensor, output: Tensor, alpha: Scalar, sigma: Scalar) -> Tensor:
        return alpha * x - sigma * output

    def noise(self, x: Tensor, output: Tensor, alpha: Scalar, sigma: Scalar) -> Tensor:
        return sigma * x + alpha * output

    def error_scale(self, snr: Scalar) -> Scalar:
        return snr + 1

    def check_schedule(self, schedule: AbstractSchedule) -> None:
        if not schedule.preserves_variance:
            raise ValueError(
                f"Velocity() is of schedules that preserve the variance, received {schedule}. Use "
                "FlowVelocity(), which any schedule takes."
            )


class Clean(AbstractPrediction):
    """The network predicts the data; `error_scale` is 1."""

    def target(self, clean: Tensor, noise: Tensor, alpha: Scalar, sigma: Scalar) -> Tensor:
        return clean

    def clean(self, x: Tensor, output: Tensor, alpha: Scalar, sigma: Scalar) -> Tensor:
        return output

    def noise(self, x: Tensor, output: Tensor, alpha: Scalar, sigma: Scalar) -> Tensor:
        return (x - alpha * output) / sigma

    def error_scale(self, snr: Scalar) -> Scalar:
        return jnp.ones_like(snr)
