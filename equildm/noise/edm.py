"""The noising process of EDM (Karras et al. 2022, table 1), in the frame of noise levels."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Key, Time
from .predictions import AbstractPrediction, Scalar, Tensor
from .schedules import AbstractSchedule, as_float, Numbers, Scalars, Table
from .times import AbstractTimes
from .weights import check_data_std


class EDMSchedule(AbstractSchedule):
    """Noise of exploding variance, `y = x0 + s eps`, whose network sees `x = y / sqrt(d^2 + s^2)`.

    That is EDM's input scaling `c_in`, with `d` the standard deviation of the data; for `d = 1` the
    variance is preserved. The times are evenly spaced in `log s`, as EDM's `c_noise = log(s) / 4`
    is, from `low` to `high`.
    """

    data_std: float = eqx.field(static=True, default=1.0)
    low: float = eqx.field(static=True, default=0.002)
    high: float = eqx.field(static=True, default=80.0)
    steps: int = eqx.field(static=True, default=1000)

    def __check_init__(self) -> None:
        if not (0 < self.low < self.high < np.inf and self.data_std > 0 and self.steps > 1):
            raise ValueError(
                "EDM's levels are 0 < low < high, its data have a positive standard deviation and "
                f"it has at least 2 times; received {self}. The paper's are 0.002, 80 and 0.5."
            )

    @property
    def preserves_variance(self) -> bool:
        return self.data_std == 1.0

    def table(self) -> Table:
        return -np.linspace(np.log(self.low), np.log(self.high), self.steps)

    def alpha(self, t: Numbers) -> Scalars:
        return self.alpha_at(self.level(t))

    def sigma(self, t: Numbers) -> Scalars:
        return self.sigma_at(self.level(t))

    def alpha_at(self, s: Numbers) -> Scalars:
        return jax.lax.rsqrt(self.data_std**2 + as_float(s) ** 2)


class EDMPrediction(AbstractPrediction):
    """What EDM's network predicts: `D = c_skip y + c_out F` (Karras et al. 2022, equation 7).

    With `x = alpha y` and `alpha = 1 / sqrt(d^2 + s^2)` that is `d^2 alpha x + d sigma F`. So for
    `d = 1` it is `Velocity` with another sign. It is of an `EDMSchedule` of the same `d`, where the
    weight `EDM(d)` makes the loss of the output uniform; for `d = 1` of any that preserves the
    variance.
    """

    data_std: float = eqx.field(static=True, default=1.0)

    def __check_init__(self) -> None:
        check_data_std(self.data_std)

    def target(self, clean: Tensor, noise: Tensor, alpha: Scalar, sigma: Scalar) -> Tensor:
        x = alpha * clean + sigma * noise
        return (clean - self.data_std**2 * alpha * x) / (self.data_std * sigma)

    def clean(self, x: Tensor, output: Tensor, alpha: Scalar, sigma: Scalar) -> Tensor:
        return self.data_std**2 * alpha * x + self.data_std * sigma * output

    def noise(self, x: Tensor, output: Tensor, alpha: Scalar, sigma: Scalar) -> Tensor:
        return (x - alpha * self.clean(x, output, alpha, sigma)) / sigma

    def error_scale(self, snr: Scalar) -> Scalar:
        """`1 / (d sigma)^2 = snr + 1 / d^2` where `alpha^2 (d^2 + s^2) = 1`."""
        return snr + self.data_std**-2

    def check_schedule(self, schedule: AbstractSchedule) -> None:
        is_edm = isinstance(schedule, EDMSchedule) and schedule.data_std == self.data_std
        if not is_edm and not (self.data_std == 1 and schedule.preserves_variance):
            raise ValueError(
                "EDMPrediction is of an EDMSchedule with the same data_std, and with data_std=1 of "
                f"schedules that preserve the variance; received {self} and {schedule}. Give both "
                "the same data_std, or use FlowVelocity()."
            )


class LogNormalTimes(AbstractTimes):
    """Levels with `log s ~ N(mean, std^2)` (Karras et al. 2022, table 1)."""

    mean: float = eqx.field(static=True, default=-1.2)
    std: float = eqx.field(static=True, default=1.2)

    def __call__(self, key: Key, schedule: AbstractSchedule) -> Time:
        return schedule.time(jnp.exp(self.mean + self.std * jax.random.normal(key)))
