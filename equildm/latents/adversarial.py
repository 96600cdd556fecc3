"""The VAE against a discriminator, as one loss of one model."""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float

from .._types import Keys
from .discriminator import discriminator_loss, generator_loss, PatchDiscriminator
from .loss import Metrics, unit_images, VAEObjective
from .vae import VAE


class AdversarialVAE(eqx.Module):
    """The two players, trained together by one optimiser."""

    vae: VAE
    discriminator: PatchDiscriminator


class AdversarialObjective(eqx.Module):
    """Sharper reconstructions: the second stage of a VAE's training (Esser et al. 2021, 3.2).

        loss = reconstruction(vae) + weight * generator(vae) + discriminator(discriminator)

    A gradient stop stands between the players: the VAE's gradient is that of the first two terms
    and the discriminator's that of the third, so that a step is one step of both. Begin from a VAE
    trained without (Stable Diffusion's starts this after 50,000 steps): a discriminator that sees
    blurs learns only blur.

    The weight is a constant. Stable Diffusion's code scales it by the ratio of two gradients'
    norms at the decoder's last layer over the whole batch, which costs more backward passes and
    would make a batch that is taken in parts another loss than the whole.

    **Fields:**

    - `reconstruction`: the VAE's own loss.
    - `weight`: of the generator's term.
    """

    reconstruction: VAEObjective
    weight: float = eqx.field(static=True, default=0.1)

    def __check_init__(self):
        if self.weight < 0.0:
            raise ValueError(f"The adversarial weight is not negative, received {self.weight}.")

    def __call__(
        self, model: AdversarialVAE, batch: Any, keys: Keys
    ) -> tuple[Float[Array, ""], Metrics]:
        """As `VAEObjective`, with the metrics `generator` and `discriminator` beside its own.

        `discriminator` is 1 for one that cannot tell and 0 for one that always can.
        """
        images = unit_images(batch.images)
        reconstructed, kl = self.reconstruction.reconstruct(model.vae, images, keys)
        loss, metrics = self.reconstruction.compare(reconstructed, images, kl)

        judge = model.discriminator
        generator = generator_loss(jax.vmap(_fixed(judge))(reconstructed))
        discriminator = discriminator_loss(
            jax.vmap(judge)(images), jax.vmap(judge)(_fixed(reconstructed))
        )
        metrics |= {"generator": generator, "discriminator": discriminator}
        return loss + self.weight * generator + discriminator, metrics


def _fixed(tree: Any) -> Any:
    """The same, through which no gradient passes."""
    arrays, rest = eqx.partition(tree, eqx.is_array)
    return eqx.combine(jax.lax.stop_gradient(arrays), rest)
