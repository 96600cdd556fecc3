"""How far two clean estimates are apart."""

import abc
import math
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Image, Latent
from ..latents import VAE

Scalar = Float[Array, ""]


class AbstractDistance(eqx.Module):
    """A distance of two latents. Networks that it holds are not trained."""

    @abc.abstractmethod
    def __call__(self, a: Latent, b: Latent) -> Scalar:
        """**Arguments:**

        - `a`: the student's; gradients pass.
        - `b`: what it is compared with.
        """


class SquaredL2(AbstractDistance):
    """`mean((a - b)^2)`. (Papers that write the sum differ by a constant factor.)"""

    def __call__(self, a: Latent, b: Latent) -> Scalar:
        """See `AbstractDistance`."""
        return jnp.mean((a - b) ** 2)


class PseudoHuber(AbstractDistance):
    """`mean(sqrt((a - b)^2 + c^2) - c)`, each element by itself, as the published LCM does."""

    c: float = eqx.field(static=True, default=0.001)

    def __call__(self, a: Latent, b: Latent) -> Scalar:
        """See `AbstractDistance`."""
        return jnp.mean(jnp.sqrt((a - b) ** 2 + self.c**2) - self.c)


class JointPseudoHuber(AbstractDistance):
    """`sqrt(|a - b|^2 + c^2) - c` with `c = factor sqrt(n)` of `n` elements together.

    (Song & Dhariwal 2023, section 3.3, with their factor.)
    """

    factor: float = eqx.field(static=True, default=0.00054)

    def __call__(self, a: Latent, b: Latent) -> Scalar:
        """See `AbstractDistance`."""
        c = self.factor * math.sqrt(a.size)
        return jnp.sqrt(jnp.sum((a - b) ** 2) + c**2) - c


class PixelDistance(AbstractDistance):
    """A distance of images, for instance `features.LPIPS`, of what the decoder makes of latents.

    **Fields:**

    - `images`: the distance of two images.
    - `vae`: the decoder of the latents.
    """

    images: Callable[[Image, Image], Scalar]
    vae: VAE

    def __call__(self, a: Latent, b: Latent) -> Scalar:
        """See `AbstractDistance`."""
        return self.images(*(self.vae.decode(self.vae.unscaled(latent)) for latent in (a, b)))
