"""Straight paths from data to noise: the schedule of flow matching, and its prediction."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .predictions import AbstractPrediction, Scalar, Tensor
from .schedules import AbstractSchedule, as_float, INFINITE_LEVEL, Numbers, Scalars, Table

_LAST = INFINITE_LEVEL / (1 + INFINITE_LEVEL)


class RectifiedFlow(AbstractSchedule):
    """`x = (1 - u) x0 + u eps`, from data at u = 0 to noise at u = 1.

    (Liu et al. 2022; Lipman et al. 2022.)

    The integer time `i` is `u = (i + 1) / steps`, as in Stable Diffusion 3, so that the last one is
    noise alone. In the frame of noise levels `s = u / (1 - u)`. It does not preserve the variance:
    `alpha + sigma = 1`. Times and levels are exact between the integers.
    """

    steps: int = eqx.field(static=True, default=1000)

    @property
    def preserves_variance(self) -> bool:
        return False

    def table(self) -> Table:
        u = np.minimum(np.arange(1, self.steps + 1) / self.steps, _LAST)
        return np.log1p(-u) - np.log(u)

    def half_log_snr(self, t: Numbers) -> Scalars:
        u = (jnp.clip(as_float(t), 0, self.steps - 1) + 1) / self.steps
        u = jnp.minimum(u, jnp.asarray(_LAST, u.dtype))
        return jnp.log1p(-u) - jnp.log(u)

    def alpha(self, t: Numbers) -> Scalars:
        return self.alpha_at(self.level(t))

    def sigma(self, t: Numbers) -> Scalars:
        return self.sigma_at(self.level(t))

    def alpha_at(self, s: Numbers) -> Scalars:
        """`1 - u = 1 / (1 + s)`."""
        return 1 / (1 + as_float(s))

    def time(self, s: Numbers) -> Scalars:
        s = jnp.clip(as_float(s), self.lowest, self.highest)
        return jnp.clip(self.steps * s / (1 + s) - 1, 0, self.steps - 1)

    def levels_at(self, times: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        u = np.minimum((np.clip(times, 0, self.steps - 1) + 1) / self.steps, _LAST)
        return u / (1 - u)


class FlowVelocity(AbstractPrediction):
    """The network predicts `eps - x0`, the direction of a straight path (Liu et al. 2022).

    The clean estimate is `(x - sigma out) / (alpha + sigma)` and the noise estimate
    `(x + alpha out) / (alpha + sigma)`, on any schedule; `error_scale` is `(1 + sqrt(snr))^2`.
    """

    def target(self, clean: Tensor, noise: Tensor, alpha: Scalar, sigma: Scalar) -> Tensor:
        return noise - clean

    def clean(self, x: Tensor, output: Tensor, alpha: Scalar, sigma: Scalar) -> Tensor:
        return (x - sigma * output) / (alpha + sigma)

    def noise(self, x: Tensor, output: Tensor, alpha: Scalar, sigma: Scalar) -> Tensor:
        return (x + alpha * output) / (alpha + sigma)

    def error_scale(self, snr: Scalar) -> Scalar:
        return (1 + jnp.sqrt(snr)) ** 2
