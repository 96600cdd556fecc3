"""A diffusion model that is known exactly.

Data from a mixture of isotropic Gaussians, `x0 ~ sum_k w_k N(m_k, d_k^2 I)`. With noise of level
`s` it stays one, `y ~ sum_k w_k N(m_k, (d_k^2 + s^2) I)`, so that the density, the score and the
best possible denoiser are closed forms at every level. Samplers, guidance, likelihoods and metrics
are tested against it with no network and no training.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equildm.denoise import AbstractDenoiser
from equildm.noise import AbstractPrediction, AbstractSchedule


class GaussianMixture(AbstractDenoiser):
    """The exact denoiser of a mixture. A condition, if given, is a vector of component weights."""

    means: Float[Array, " components *shape"]
    stds: Float[Array, " components"]

    def __call__(self, y: Array, s: Array, condition: Any = None) -> Array:
        """`sum_k r_k (m_k + d_k^2 / (d_k^2 + s^2) (y - m_k))`, with `r_k` the posterior of `k`."""
        weights = jax.nn.softmax(self._log_joint(y, s, condition))
        shrink = (self.stds**2 / (self.stds**2 + s**2)).reshape(-1, *[1] * y.ndim)
        return jnp.tensordot(weights, self.means + shrink * (y - self.means), axes=1)

    def log_density(self, y: Array, s: Array, condition: Any = None) -> Array:
        """`log p_s(y)` in nats."""
        return jax.nn.logsumexp(self._log_joint(y, s, condition))

    def _log_joint(self, y: Array, s: Array, condition: Any = None) -> Array:
        weights = jnp.ones_like(self.stds) if condition is None else condition
        variances = self.stds**2 + s**2
        flat = (y - self.means).reshape(len(self.means), -1)
        return (
            jnp.log(weights / jnp.sum(weights))
            - 0.5 * jnp.sum(flat**2, axis=1) / variances
            - 0.5 * flat.shape[1] * jnp.log(2 * jnp.pi * variances)
        )

    def draw(self, key: Array, s: float = 0.0) -> Array:
        """One exact sample at level `s`."""
        which, noise = jax.random.split(key)
        k = jax.random.randint(which, (), 0, len(self.means))
        scale = jnp.sqrt(self.stds[k] ** 2 + s**2)
        return self.means[k] + scale * jax.random.normal(noise, self.means.shape[1:])

    @property
    def mean(self) -> Array:
        """Mean of the (equally weighted) mixture."""
        return jnp.mean(self.means, axis=0)

    @property
    def covariance(self) -> Array:
        """Covariance of the (equally weighted) mixture, flattened."""
        flat = self.means.reshape(len(self.means), -1)
        centred = flat - flat.mean(0)
        return centred.T @ centred / len(flat) + jnp.mean(self.stds**2) * jnp.eye(flat.shape[1])


class ExactNetwork(eqx.Module):
    """The best possible network of a schedule and a prediction, for data of a mixture."""

    oracle: GaussianMixture
    schedule: AbstractSchedule
    prediction: AbstractPrediction

    def __call__(self, x: Array, t: Array, condition: Any = None) -> Array:
        """The prediction of the mean clean data and the mean noise."""
        alpha, sigma, s = self.schedule.alpha(t), self.schedule.sigma(t), self.schedule.level(t)
        clean = self.oracle(x / alpha, s, condition)
        return self.prediction.target(clean, (x - alpha * clean) / sigma, alpha, sigma)


def mixture(
    shape: tuple[int, ...] = (2, 2, 1), components: int = 3, seed: int = 0
) -> GaussianMixture:
    """A mixture of clearly apart components of different widths, with about unit variance."""
    rng = np.random.default_rng(seed)
    return GaussianMixture(
        means=jnp.asarray(rng.normal(size=(components, *shape))),
        stds=jnp.asarray(np.linspace(0.3, 0.6, components)),
    )
