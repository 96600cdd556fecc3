"""Distances between two clean estimates."""

import abc
import math
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Image, Latent
from ..interop import load_lpips
from ..latents import VAE
from .names import DistanceName

Scalar = Float[Array, ""]


class AbstractDistance(eqx.Module):
    """A distance between two latents. Networks that it holds are frozen."""

    @abc.abstractmethod
    def __call__(self, a: Latent, b: Latent) -> Scalar:
        """**Arguments:**

        - `a`: the student's estimate; gradients pass.
        - `b`: the target.
        """


class SquaredL2(AbstractDistance):
    """`mean((a - b)^2)`. (Papers that write the sum differ by a constant factor.)"""

    def __call__(self, a: Latent, b: Latent) -> Scalar:
        """See `AbstractDistance`."""
        return jnp.mean((a - b) ** 2)


class PseudoHuber(AbstractDistance):
    """`mean(sqrt((a - b)^2 + c^2) - c)` of each element by itself, as in the published LCM."""

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
    """A distance between the decoded images, for instance `features.LPIPS`.

    **Fields:**

    - `images`: the distance between two images.
    - `vae`: decodes the latents.
    """

    images: Callable[[Image, Image], Scalar]
    vae: VAE

    def __call__(self, a: Latent, b: Latent) -> Scalar:
        """See `AbstractDistance`."""
        return self.images(self.vae.decode_scaled(a), self.vae.decode_scaled(b))


def make_distance(name: DistanceName, vae: VAE | None) -> AbstractDistance:
    """The distance of that name. `lpips` compares images that `vae` decodes."""
    if name == "lpips":
        if vae is None:
            raise ValueError(
                "The distance 'lpips' compares images that a VAE decodes, and received none. Pass "
                "vae=model.vae."
            )
        return PixelDistance(load_lpips("vgg"), vae)
    return {"l2": SquaredL2(), "huber": PseudoHuber(), "joint-huber": JointPseudoHuber()}[name]
