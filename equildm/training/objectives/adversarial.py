"""The VAE against a discriminator, as one loss of one model."""

import equinox as eqx
import jax
from jaxtyping import Array, Float, PyTree

from ..._types import Keys, Metrics
from ...data import ImageBatch
from ...images import to_unit
from ...latents import discriminator_loss, generator_loss, PatchDiscriminator, VAE
from .base import AbstractObjective
from .vae import VAEObjective


class AdversarialVAE(eqx.Module):
    """The VAE and its discriminator, trained together by one optimiser."""

    vae: VAE
    discriminator: PatchDiscriminator


class AdversarialObjective(AbstractObjective):
    """Sharper reconstructions: the second stage of a VAE's training (Esser et al. 2021, 3.2).

        loss = reconstruction(vae) + weight * generator(vae) + discriminator(discriminator)

    Gradients stop between the two networks: the VAE's gradient is that of the first two terms, the
    discriminator's that of the third, so that one step updates both. Begin from a VAE that was
    trained without it (Stable Diffusion's adds it after 50,000 steps): a discriminator that sees
    only blurred images learns only blur.

    The weight is a constant. Stable Diffusion's code scales it by the ratio of two gradients'
    norms at the decoder's last layer over the whole batch. That costs more backward passes, and
    the loss would depend on the slices that a batch is taken in.

    **Fields:**

    - `reconstruction`: the loss of the VAE alone.
    - `weight`: of the generator's term.
    """

    reconstruction: VAEObjective
    weight: float = eqx.field(static=True, default=0.1)

    def __check_init__(self) -> None:
        if self.weight < 0.0:
            raise ValueError(f"The adversarial weight is not negative, received {self.weight}.")

    def __call__(
        self, model: AdversarialVAE, batch: ImageBatch, keys: Keys
    ) -> tuple[Float[Array, ""], Metrics]:
        """As `VAEObjective`, with the metrics `generator` and `discriminator` beside its own.

        `discriminator` is 1 for one that cannot tell images apart, and 0 for one that always can.
        """
        images = to_unit(batch.images)
        reconstructed, kl = self.reconstruction.reconstruct(model.vae, images, keys)
        loss, metrics = self.reconstruction.compare(reconstructed, images, kl)

        discriminator = model.discriminator
        generator = generator_loss(jax.vmap(_stop_gradient(discriminator))(reconstructed))
        discrimination = discriminator_loss(
            jax.vmap(discriminator)(images), jax.vmap(discriminator)(_stop_gradient(reconstructed))
        )
        metrics |= {"generator": generator, "discriminator": discrimination}
        return loss + self.weight * generator + discrimination, metrics


def _stop_gradient(tree: PyTree) -> PyTree:
    arrays, static = eqx.partition(tree, eqx.is_array)
    return eqx.combine(jax.lax.stop_gradient(arrays), static)
