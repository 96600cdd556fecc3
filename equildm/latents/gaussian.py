"""The encoder's distribution of latents: a Gaussian with a variance for each element."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Key, Latent


class DiagonalGaussian(eqx.Module):
    """`N(mean, exp(log_variance))`, element by element (Kingma & Welling 2014).

    **Fields:**

    - `mean`, `log_variance`: `(height, width, channels)`. The encoder clips the logarithm to
        `[-30, 20]`, as in Stable Diffusion.
    """

    mean: Latent
    log_variance: Latent

    def sample(self, key: Key) -> Latent:
        """`mean + exp(log_variance / 2) * eps`, `eps` standard normal, in the mean's dtype."""
        noise = jax.random.normal(key, self.mean.shape, jnp.float32)
        deviation = jnp.exp(0.5 * self.log_variance.astype(jnp.float32))
        return (self.mean.astype(jnp.float32) + deviation * noise).astype(self.mean.dtype)

    def mode(self) -> Latent:
        """The most probable latent: the mean."""
        return self.mean

    def kl(self) -> Float[Array, ""]:
        """KL divergence to the standard normal, in nats for each element of the latent (a mean).

        `mean_i (mean_i^2 + v_i - 1 - log v_i) / 2`. Stable Diffusion's code sums it over the
        latent instead.
        """
        mean = self.mean.astype(jnp.float32)
        log_variance = self.log_variance.astype(jnp.float32)
        terms = jnp.square(mean) + jnp.exp(log_variance) - 1.0 - log_variance
        return 0.5 * jnp.mean(terms)
