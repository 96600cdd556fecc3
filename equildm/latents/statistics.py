"""What a VAE does to many images: their reconstructions, and the statistics of their latents."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .vae import VAE


@eqx.filter_jit
def reconstruct(
    vae: VAE, images: Float[Array, "batch height width rgb"]
) -> Float[Array, "batch height width rgb"]:
    """Every image through `vae.reconstruct`: to its latent and back, without noise. Not clipped."""
    return jax.vmap(vae.reconstruct)(images)


def latent_statistics(
    vae: VAE, images: Float[np.ndarray, "count height width rgb"], *, batch: int = 64
) -> tuple[float, float]:
    """Mean and standard deviation of all elements of the images' raw latents.

    A denoiser's latents have zero mean and unit variance with

        vae = vae.with_scale(1 / deviation, mean)

    **Arguments:**

    - `vae`: the encoder.
    - `images`: in [-1, 1].
    - `batch`: images encoded at once.
    """
    slices = np.split(images, range(batch, len(images), batch))
    latents = np.concatenate([np.asarray(_encode(vae, jnp.asarray(part))) for part in slices])
    return float(np.mean(latents)), float(np.std(latents))


@eqx.filter_jit
def _encode(
    vae: VAE, images: Float[Array, "batch height width rgb"]
) -> Float[Array, "batch latent_height latent_width channels"]:
    return jax.vmap(lambda image: vae.encode(image).mode())(images)
