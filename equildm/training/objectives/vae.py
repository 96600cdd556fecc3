"""The loss of a VAE, without a discriminator."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._types import Image, Key, Keys, Metrics
from ...data import ImageBatch
from ...images import to_unit
from ...latents import VAE
from ...runtime import Policy
from .base import AbstractObjective

Perceptual = Callable[[Image, Image], Float[Array, ""]]
"""A distance of two images, such as LPIPS."""

Images = Float[Array, "batch height width rgb"]


class VAEObjective(AbstractObjective):
    """Reconstruction, and a light pull of the latent towards the standard normal.

        loss = l1 + perceptual_weight * lpips + kl_weight * kl

    of one sample `z ~ encode(x)` and its decoding (Rombach et al. 2022, appendix G, without the
    discriminator: see `AdversarialObjective`). Every term is a mean over the batch:

    - `l1`: mean of `|decode(z) - x|` over pixels and channels; pixels range over 2.
    - `lpips`: of whole images, about 0 to 1.
    - `kl`: nats for each element of the latent. Stable Diffusion's code sums over elements and
      pixels: its 1e-6 at factor 8 with 4 channels and 3 colours is 2e-8 here.

    **Fields:**

    - `perceptual`: the distance, which is not trained; `None` leaves the term out.
    - `perceptual_weight`, `kl_weight`: weights of the terms.
    - `perceptual_share`: the perceptual term is taken on this share of the batch, its first
        examples. VGG16 costs several times as much as a small VAE; on a CPU 0.25 is a good trade.
    - `policy`: dtype of the VAE's arithmetic; the terms are float32.
    """

    perceptual: Perceptual | None
    perceptual_weight: float = eqx.field(static=True, default=1.0)
    kl_weight: float = eqx.field(static=True, default=1e-6)
    perceptual_share: float = eqx.field(static=True, default=1.0)
    policy: Policy = eqx.field(static=True, default=Policy())

    def __check_init__(self) -> None:
        if not 0.0 < self.perceptual_share <= 1.0:
            raise ValueError(
                "perceptual_share is a share of the batch above 0 and at most 1, received "
                f"{self.perceptual_share}. Use perceptual=None to leave the term out."
            )
        if self.perceptual_weight < 0.0 or self.kl_weight < 0.0:
            raise ValueError(
                "The weights of the VAE's loss are not negative, received "
                f"perceptual_weight={self.perceptual_weight} and kl_weight={self.kl_weight}."
            )

    def __call__(
        self, model: VAE, batch: ImageBatch, keys: Keys
    ) -> tuple[Float[Array, ""], Metrics]:
        """The loss, and the metrics `l1`, `lpips` (if there is one) and `kl`.

        **Arguments:**

        - `model`: the VAE that is trained.
        - `batch`: images of 8 bits, or floats in [-1, 1].
        - `keys`: one for each image.
        """
        images = to_unit(batch.images)
        reconstructed, kl = self.reconstruct(model, images, keys)
        return self.compare(reconstructed, images, kl)

    def reconstruct(
        self, vae: VAE, images: Images, keys: Keys
    ) -> tuple[Images, Float[Array, "batch"]]:
        """Each image through a sample of its latent, and its KL divergence. Float32."""

        def one(image: Image, key: Key) -> tuple[Image, Float[Array, ""]]:
            posterior = vae.encode(self.policy.cast_inputs(image))
            decoded = vae.decode(posterior.sample(key))
            return decoded.astype(jnp.float32), posterior.kl()

        return jax.vmap(one)(images, keys)

    def compare(
        self, reconstructed: Images, images: Images, kl: Float[Array, "batch"]
    ) -> tuple[Float[Array, ""], Metrics]:
        """The loss and its terms."""
        metrics = {"l1": jnp.mean(jnp.abs(reconstructed - images)), "kl": jnp.mean(kl)}
        loss = metrics["l1"] + self.kl_weight * metrics["kl"]
        if self.perceptual is not None:
            count = max(1, round(self.perceptual_share * len(images)))
            distances = jax.vmap(self.perceptual)(reconstructed[:count], images[:count])
            metrics["lpips"] = jnp.mean(distances)
            loss = loss + self.perceptual_weight * metrics["lpips"]
        return loss, metrics
