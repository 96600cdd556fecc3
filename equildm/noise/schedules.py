"""Noise schedules: the amount of noise at each time.

A schedule is a table of half log signal-to-noise ratios `lambda = log(alpha / sigma)` at the
integer times 0 (almost clean) .. `steps - 1` (almost noise), with `alpha^2 + sigma^2 = 1` (variance
preserving). Between two integers lambda is linear, so that every schedule is continuous and has an
inverse: `time(level(t)) == t`.

The noise level is `s = sigma / alpha = exp(-lambda)`.
"""

import abc
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real

INFINITE_LEVEL = 1e6
"""Represents `s = inf`, no signal at all: there `alpha = 1e-6`, near float32 rounding of 1."""

Table: TypeAlias = Float[np.ndarray, "steps"]
Scalars: TypeAlias = Float[Array, "*n"]
Numbers: TypeAlias = Real[Array, "*n"] | Real[np.ndarray, "*n"] | float | int


def as_float(value: Numbers) -> Scalars:
    """The value in float32, or in float64 if it has that: times up to 999 need 10 bits."""
    value = jnp.asarray(value)
    return value.astype(jnp.promote_types(value.dtype, jnp.float32))


class AbstractSchedule(eqx.Module):
    """A noise schedule, variance-preserving unless a subclass says otherwise.

    It has no parameters. All methods on jax arrays work inside `jit`, `vmap` and `grad`. Times and
    levels may be Python numbers or arrays of any dtype; the results are float32, or float64 for
    float64.

    **Raises** `ValueError`, when constructed, for fewer than 2 times and for a `table` that does
    not fall strictly.
    """

    def __check_init__(self) -> None:
        if self.steps < 2:
            raise ValueError(f"A schedule has at least 2 times, received {self.steps}. Use 1000.")
        with np.errstate(all="ignore"):
            table = self.table()
        if not (np.all(np.isfinite(table)) and np.all(np.diff(table) < 0)):
            raise ValueError(
                "A schedule's noise grows from each time to the next and stays finite, received "
                f"{self}, whose half log SNR runs from {table[0]:.4g} to {table[-1]:.4g}. "
                "Check its betas: each lies between 0 and 1, and their signal must not vanish."
            )

    @property
    @abc.abstractmethod
    def steps(self) -> int:
        """The number of integer times."""

    @abc.abstractmethod
    def table(self) -> Table:
        """`lambda` at the integer times 0 .. steps - 1, strictly decreasing, in float64."""

    @property
    def lowest(self) -> float:
        """The noise level at time 0."""
        return float(np.exp(-self.table()[0]))

    @property
    def highest(self) -> float:
        """The noise level at the last time."""
        return float(np.exp(-self.table()[-1]))

    @property
    def preserves_variance(self) -> bool:
        """Whether `alpha^2 + sigma^2 = 1`. One that does not overrides `alpha`, `sigma` and
        `alpha_at`."""
        return True

    @property
    def ends_without_signal(self) -> bool:
        """Whether its last level is `INFINITE_LEVEL`: nothing of the data is left there."""
        return self.highest >= 0.99 * INFINITE_LEVEL

    def half_log_snr(self, t: Numbers) -> Scalars:
        """`lambda(t)`. Times outside the table give its ends."""
        t = as_float(t)
        times = jnp.arange(self.steps, dtype=t.dtype)
        return jnp.interp(t, times, jnp.asarray(self.table(), t.dtype))

    def level(self, t: Numbers) -> Scalars:
        """`s(t) = sigma / alpha`."""
        return jnp.exp(-self.half_log_snr(t))

    def alpha(self, t: Numbers) -> Scalars:
        """The factor of the data: `alpha^2 = sigmoid(2 lambda)`."""
        return jnp.sqrt(jax.nn.sigmoid(2 * self.half_log_snr(t)))

    def sigma(self, t: Numbers) -> Scalars:
        """The factor of the noise: `sigma^2 = sigmoid(-2 lambda)`."""
        return jnp.sqrt(jax.nn.sigmoid(-2 * self.half_log_snr(t)))

    def alpha_at(self, s: Numbers) -> Scalars:
        """`alpha` at the noise level `s`: `1 / sqrt(1 + s^2)`.

        A schedule that does not preserve the variance overrides it. Everything that goes from
        `y = x / alpha` to the network's `x` asks here.
        """
        return jax.lax.rsqrt(1 + as_float(s) ** 2)

    def sigma_at(self, s: Numbers) -> Scalars:
        """`sigma` at the noise level `s`: `s alpha_at(s)`."""
        return as_float(s) * self.alpha_at(s)

    def time(self, s: Numbers) -> Scalars:
        """The time whose noise level is `s`. Levels outside the table (also 0) give its ends."""
        s = as_float(s)
        log_levels = jnp.asarray(-self.table(), s.dtype)
        log_s = jnp.log(jnp.clip(s, self.lowest, self.highest))
        return jnp.interp(log_s, log_levels, jnp.arange(self.steps, dtype=s.dtype))

    def levels_at(self, times: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        """`s(t)` on the host in float64, for grids."""
        return np.exp(-np.interp(times, np.arange(self.steps), self.table()))


class ScaledLinear(AbstractSchedule):
    """The schedule of Stable Diffusion (Rombach et al. 2022): `sqrt(beta)` linear in time.

    `beta_i = linspace(sqrt(start), sqrt(end), steps)_i^2`, `alpha_i^2 = prod_{j<=i} (1 - beta_j)`.
    With the defaults `s` runs from 0.0292 to 14.6146.
    """

    start: float = eqx.field(static=True, default=0.00085)
    end: float = eqx.field(static=True, default=0.012)
    steps: int = eqx.field(static=True, default=1000)

    def __check_init__(self) -> None:
        _check_ends(self.start, self.end)

    def table(self) -> Table:
        betas = np.linspace(self.start**0.5, self.end**0.5, self.steps) ** 2
        return _half_log_snr(np.cumprod(1 - betas))


class LinearSchedule(AbstractSchedule):
    """The schedule of DDPM (Ho et al. 2020, section 4): `beta` linear in time."""

    start: float = eqx.field(static=True, default=0.0001)
    end: float = eqx.field(static=True, default=0.02)
    steps: int = eqx.field(static=True, default=1000)

    def __check_init__(self) -> None:
        _check_ends(self.start, self.end)

    def table(self) -> Table:
        return _half_log_snr(np.cumprod(1 - np.linspace(self.start, self.end, self.steps)))


class SquaredCosine(AbstractSchedule):
    """The cosine schedule (Nichol & Dhariwal 2021, equation 17).

    `alpha_bar(u) = cos^2((u + 0.008) / 1.008 * pi / 2)`, each beta at most 0.999. Its last level is
    about 20,000: nearly, but not quite, no signal.
    """

    steps: int = eqx.field(static=True, default=1000)

    def table(self) -> Table:
        u = np.arange(self.steps + 1) / self.steps
        alpha_bar = np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2
        betas = np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], 0.999)
        return _half_log_snr(np.cumprod(1 - betas))


class ZeroTerminalSNR(AbstractSchedule):
    """A schedule rescaled to have no signal at its end (Lin et al. 2023, algorithm 1).

    `alpha' = (alpha - alpha_last) alpha_0 / (alpha_0 - alpha_last)`. The last level, truly
    infinite, is represented by `INFINITE_LEVEL`. Use it with the velocity prediction: at that level
    a noise prediction contains nothing of the data.
    """

    schedule: AbstractSchedule

    def __check_init__(self) -> None:
        if not self.schedule.preserves_variance:
            raise ValueError(
                "ZeroTerminalSNR rescales a schedule that preserves the variance, received "
                f"{self.schedule}. A RectifiedFlow() ends without signal by itself."
            )

    @property
    def steps(self) -> int:
        return self.schedule.steps

    def table(self) -> Table:
        alpha = 1 / np.sqrt(1 + np.exp(-2 * self.schedule.table()))
        alpha = (alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])
        alpha[-1] = 1 / np.sqrt(1 + INFINITE_LEVEL**2)
        return _half_log_snr(alpha**2)


def _check_ends(start: float, end: float) -> None:
    if not 0 < start <= end < 1:
        raise ValueError(
            f"A schedule needs 0 < start <= end < 1, received start = {start} and end = {end}. "
            "Stable Diffusion's scaled linear schedule has 0.00085 and 0.012."
        )


def _half_log_snr(alpha_squared: np.ndarray) -> np.ndarray:
    return 0.5 * (np.log(alpha_squared) - np.log1p(-alpha_squared))
