"""Distributions of the training times."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Key, Time
from .schedules import AbstractSchedule


class AbstractTimes(eqx.Module):
    """A distribution of the times of a schedule."""

    @abc.abstractmethod
    def __call__(self, key: Key, schedule: AbstractSchedule) -> Time:
        """Draws one time in [0, steps - 1]."""


class UniformTimes(AbstractTimes):
    """The schedule's integer times, equally likely (Ho et al. 2020, algorithm 1)."""

    def __call__(self, key: Key, schedule: AbstractSchedule) -> Time:
        return jax.random.randint(key, (), 0, schedule.steps).astype(jnp.float32)


class LogitNormalTimes(AbstractTimes):
    """`t / (steps - 1) = sigmoid(mean + std z)`, often in the middle (Esser et al. 2024, 3.1)."""

    mean: float = eqx.field(static=True, default=0.0)
    std: float = eqx.field(static=True, default=1.0)

    def __call__(self, key: Key, schedule: AbstractSchedule) -> Time:
        z = jax.random.normal(key)
        return (schedule.steps - 1) * jax.nn.sigmoid(self.mean + self.std * z)


class ShiftedTimes(AbstractTimes):
    """Times of another distribution, moved to more noise (Esser et al. 2024, equation 23).

    With `u = (t + 1) / steps`, `u' = shift u / (1 + (shift - 1) u)`, as `grids.shifted` spaces the
    steps of sampling. Large images ask for it: noise of one level hides less of them. For images
    of n pixels after a training on m, the shift is sqrt(n / m).
    """

    times: AbstractTimes
    shift: float = eqx.field(static=True, default=3.0)

    def __check_init__(self) -> None:
        if not 0 < self.shift < float("inf"):
            raise ValueError(f"A shift is a positive number, received {self.shift}. Use 3.")

    def __call__(self, key: Key, schedule: AbstractSchedule) -> Time:
        u = (self.times(key, schedule) + 1) / schedule.steps
        shifted = self.shift * u / (1 + (self.shift - 1) * u)
        return jnp.clip(schedule.steps * shifted - 1, 0, schedule.steps - 1)


class LogSNRUniformTimes(AbstractTimes):
    """lambda uniform between the schedule's ends (Kingma et al. 2021)."""

    def __call__(self, key: Key, schedule: AbstractSchedule) -> Time:
        table = schedule.table()
        half_log_snr = jax.random.uniform(key, minval=table[-1], maxval=table[0])
        return schedule.time(jnp.exp(-half_log_snr))
