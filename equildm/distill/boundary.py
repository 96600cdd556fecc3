"""Consistency functions: denoisers that leave a latent at the lowest level as it is."""

import abc
import dataclasses
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Condition, Latent, Network, NoiseLevel
from ..denoise import AbstractDenoiser, AbstractNetworkWrap
from ..noise import AbstractPrediction, AbstractSchedule

Scalar = Float[Array, ""]


class AbstractBoundary(eqx.Module):
    """The share of its input in a consistency function: all of it at the lowest level."""

    @abc.abstractmethod
    def __call__(self, s: NoiseLevel) -> tuple[Scalar, Scalar]:
        """The factors on `y` and on the clean estimate."""


class TimeBoundary(AbstractBoundary):
    """The boundary of LCM and CoDi (Luo et al. 2023, section 4.1 and the published code):

        f = c_skip x + c_out D,    tau = scale t
        c_skip = d^2 / (tau^2 + d^2),    c_out = tau / sqrt(tau^2 + d^2)

    They write it for the variance-preserving latent `x = alpha y`, hence the factor `alpha c_skip`
    on `y`. At time 0, `f = x` exactly; at time 1 it is nearly `D`.

    **Fields:**

    - `schedule`: gives the time of a level.
    - `scale`: the published `timestep_scaling`.
    - `data_std`: `d`.
    """

    schedule: AbstractSchedule
    scale: float = eqx.field(static=True, default=10.0)
    data_std: float = eqx.field(static=True, default=0.5)

    def __call__(self, s: NoiseLevel) -> tuple[Scalar, Scalar]:
        """See `AbstractBoundary`."""
        # The table's own first level, rounded, is time 0 and not 1e-6.
        first = s <= self.schedule.lowest * (1 + 1e-6)
        tau = self.scale * jnp.where(first, 0, self.schedule.time(s))
        total = tau**2 + self.data_std**2
        return self.schedule.alpha_at(s) * self.data_std**2 / total, tau / jnp.sqrt(total)


class LevelBoundary(AbstractBoundary):
    """The boundary of consistency models (Song et al. 2023, appendix C), for any denoiser.

    They write it for EDM's network `F`, from which EDM makes the denoiser `D = k y + o F` with
    `k = d^2 / (s^2 + d^2)` and `o = d s / sqrt(s^2 + d^2)`:

        f = c_skip y + c_out F
        c_skip = d^2 / ((s - low)^2 + d^2),    c_out = d (s - low) / sqrt(s^2 + d^2)

    so that `f = (c_skip - q k) y + q D` with `q = c_out / o = (s - low) / s`. At `low`, `f = y`
    exactly; far above it is `D`, so that a student can begin as its teacher.

    **Fields:**

    - `low`: the lowest level of the training.
    - `data_std`: `d`.
    """

    low: float = eqx.field(static=True)
    data_std: float = eqx.field(static=True, default=0.5)

    def __check_init__(self) -> None:
        if self.low <= 0:
            raise ValueError(
                f"A consistency function's lowest level is above 0, received {self.low}. Use the "
                "schedule's, schedule.lowest."
            )

    def __call__(self, s: NoiseLevel) -> tuple[Scalar, Scalar]:
        """See `AbstractBoundary`."""
        above = jnp.maximum(s - jnp.asarray(self.low, s.dtype), 0)
        variance = self.data_std**2
        out = above / jnp.maximum(s, self.low)
        skip = variance / (above**2 + variance) - out * variance / (s**2 + variance)
        return skip, out


class ConsistencyFunction(AbstractDenoiser):
    """`f(y, s) = skip(s) y + out(s) D(y, s)`, which is trained to jump to the end of the flow.

    Sample it with `sampling.Consistency`, which adds fresh noise after each jump, or with
    `sampling.DDIM`, which puts the removed noise back (the deterministic sampler of CoDi).

    **Fields:**

    - `denoiser`: the network's clean estimate.
    - `boundary`: the factors.
    """

    denoiser: AbstractDenoiser
    boundary: AbstractBoundary

    def __call__(self, y: Latent, s: NoiseLevel, condition: Condition) -> Latent:
        """See `AbstractDenoiser`."""
        skip, out = self.boundary(s)
        return (skip * y + out * self.denoiser(y, s, condition)).astype(y.dtype)


@dataclasses.dataclass(frozen=True)
class ConsistencyConfig(AbstractNetworkWrap):
    """A network that is a consistency function."""

    boundary: Literal["time", "level"] = "time"
    """`TimeBoundary` or `LevelBoundary`."""

    def denoiser(
        self,
        network: Network,
        schedule: AbstractSchedule,
        prediction: AbstractPrediction,
        compute: str | None = None,
    ) -> AbstractDenoiser:
        denoiser = self.of.denoiser(network, schedule, prediction, compute)
        if self.boundary == "time":
            return ConsistencyFunction(denoiser, TimeBoundary(schedule))
        return ConsistencyFunction(denoiser, LevelBoundary(schedule.lowest))
