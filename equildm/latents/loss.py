"""What the VAE is trained to minimise, without a discriminator."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from .._types import Image, Key, Keys
from ..runtime import Policy
from .vae import VAE

Perceptual = Callable[[Image, Image], Float[Array, ""]]
"""A distance of two images, such as LPIPS."""

Metrics = dict[str, Float[Array, ""]]
Images = Float[Array, "batch height width rgb"]


class VAEObjective(eqx.Module):
    """Reconstruction and a light pull of the latent to the standard normal.

        loss = l1 + perceptual_weight * lpips + kl_weight * kl

    of one sample `z ~ encode(x)` decoded (Rombach et al. 2022, appendix G, without its
    discriminator: see `AdversarialObjective`). Every term is a mean over the batch:

    - `l1`: mean of `|decode(z) - x|` over pixels and channels; the range of pixels is 2.
    - `lpips`: of whole images, about 0 to 1.
    - `kl`: nats for each element of the latent. Stable Diffusion's code sums over elements and
      pixels: its 1e-6 at factor 8 with 4 channels and 3 colours is 2e-8 here.

    **Fields:**

    - `perceptual`: the distance, held fixed; `None` leaves the term out.
    - `perceptual_weight`, `kl_weight`: as above.
    - `perceptual_share`: share of the batch, the first of it, on which the perceptual term is
        taken. VGG16 costs several times what a small VAE does; on a CPU 0.25 is a good trade.
    - `policy`: dtype of the VAE's arithmetic; the terms are float32.
    """

    perceptual: Perceptual | None
    perceptual_weight: float = eqx.field(static=True, default=1.0)
    kl_weight: float = eqx.field(static=True, default=1e-6)
    perceptual_share: float = eqx.field(static=True, default=1.0)
    policy: Policy = eqx.field(static=True, default=Policy())

    def __check_init__(self):
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

    def __call__(self, model: VAE, batch: Any, keys: Keys) -> tuple[Float[Array, ""], Metrics]:
        """**Arguments:**

        - `model`: the VAE that is trained.
        - `batch`: has `images`, (batch, height, width, channels), of 8 bits or floats in [-1, 1].
        - `keys`: one for each image.

        **Returns:** the loss, and the metrics `l1`, `lpips` (if there is one) and `kl`.
        """
        images = unit_images(batch.images)
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
            part = max(1, round(self.perceptual_share * len(images)))
            distances = jax.vmap(self.perceptual)(reconstructed[:part], images[:part])
            metrics["lpips"] = jnp.mean(distances)
            loss = loss + self.perceptual_weight * metrics["lpips"]
        return loss, metrics


def unit_images(images: Shaped[Array, "batch height width rgb"]) -> Images:
    """Pixels of 8 bits to float32 in [-1, 1]; floats pass as float32."""
    if jnp.issubdtype(images.dtype, jnp.floating):
        return images.astype(jnp.float32)
    return images.astype(jnp.float32) / 127.5 - 1.0
