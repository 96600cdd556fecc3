"""The weight of each noise level in the training loss.

Every weight is defined once, on the squared error of the *clean estimate*, as a function of
`snr = alpha^2 / sigma^2`. An objective multiplies the squared error of the *network's output* by
that weight over `prediction.error_scale(snr)`, so that one weight means the same training for every
prediction.
"""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .predictions import AbstractPrediction


class AbstractWeight(eqx.Module):
    """A loss weight."""

    @abc.abstractmethod
    def __call__(self, snr: Float[Array, ""], prediction: AbstractPrediction) -> Float[Array, ""]:
        """The factor of the squared error of the network's output."""


class Uniform(AbstractWeight):
    """1: the "simple" loss of the prediction in use (Ho et al. 2020, equation 14)."""

    def __call__(self, snr: Float[Array, ""], prediction: AbstractPrediction) -> Float[Array, ""]:
        return jnp.ones_like(snr)


class MinSNR(AbstractWeight):
    """`min(snr, gamma)` on the clean estimate (Hang et al. 2023, equation 7).

    That is `min(snr, gamma) / snr` on eps and `min(snr, gamma) / (snr + 1)` on v.
    """

    gamma: float = eqx.field(static=True, default=5.0)

    def __check_init__(self) -> None:
        if not 0 < self.gamma:
            raise ValueError(
                f"min-SNR's gamma is a positive number, received {self.gamma}: nothing would be "
                "learned. The paper's is 5."
            )

    def __call__(self, snr: Float[Array, ""], prediction: AbstractPrediction) -> Float[Array, ""]:
        return jnp.minimum(snr, self.gamma) / prediction.error_scale(snr)


class TruncatedSNR(AbstractWeight):
    """`max(snr, 1)` on the clean estimate (Salimans & Ho 2022, section 4).

    It gives the larger of the squared errors of the clean estimate and of the noise estimate.
    """

    def __call__(self, snr: Float[Array, ""], prediction: AbstractPrediction) -> Float[Array, ""]:
        return jnp.maximum(snr, 1) / prediction.error_scale(snr)


class P2(AbstractWeight):
    """`1 / (k + snr)^gamma` on eps (Choi et al. 2022, equation 8)."""

    k: float = eqx.field(static=True, default=1.0)
    gamma: float = eqx.field(static=True, default=1.0)

    def __check_init__(self) -> None:
        if not (0 <= self.k < float("inf") and 0 <= self.gamma < float("inf")):
            raise ValueError(
                f"P2's k and gamma are numbers of at least 0, received {self.k} and {self.gamma}. "
                "The paper's are 1 and 1, or 1 and 0.5."
            )

    def __call__(self, snr: Float[Array, ""], prediction: AbstractPrediction) -> Float[Array, ""]:
        return snr / (self.k + snr) ** self.gamma / prediction.error_scale(snr)


class EDM(AbstractWeight):
    """`(s^2 + d^2) / (s d)^2 = snr + 1 / d^2` on the clean estimate (Karras et al. 2022, table 1).

    `d` is the standard deviation of the data: 1 of latents. The paper's images in [-1, 1] have 0.5.
    """

    data_std: float = eqx.field(static=True, default=1.0)

    def __check_init__(self) -> None:
        check_data_std(self.data_std)

    def __call__(self, snr: Float[Array, ""], prediction: AbstractPrediction) -> Float[Array, ""]:
        return (snr + self.data_std**-2) / prediction.error_scale(snr)


def check_data_std(data_std: float) -> None:
    """**Raises** `ValueError` for what is no standard deviation of data."""
    if not 0 < data_std < float("inf"):
        raise ValueError(
            f"The data's standard deviation is a positive number, received {data_std}. Latents "
            "have 1, the images of EDM's paper 0.5."
        )
