"""Learning to see the good picture behind a bad one."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from .._types import Image, Key, Keys, Latent
from ..data import RestorationBatch, to_unit
from ..denoise import PictureCondition
from ..latents import enlarged, VAE
from ..noise import corrupt
from ..runtime import Computing
from ..runtime.inside import over_examples
from .objective import AbstractObjective, LatentDiffusion, Metrics
from .remat import rematerialise


class SuperResolution(AbstractObjective):
    """Denoising of a good picture's latent beside that of the bad one (Rombach et al. 2022, 4.4).

    The bad picture is resized up (`enlarged`), encoded, noised to a time drawn evenly from 0 to
    `augmentation` times the schedule's steps, and given to a `Concatenated` network with that time:
    what the network does not trust too much may come from elsewhere when it is sampled (Ho et
    al. 2021, "Cascaded Diffusion Models", section 4). Both pictures are encoded in the step.

    **Fields:**

    - `objective`: the loss of a latent with its caption; of schedule, prediction, weights.
    - `vae`: not trained.
    - `augmentation`: share of the schedule; 0 leaves the bad picture's latent as it is.
    """

    objective: LatentDiffusion
    vae: VAE
    augmentation: float = eqx.field(static=True, default=0.1)

    def __check_init__(self) -> None:
        if not 0.0 <= self.augmentation < 1.0:
            raise ValueError(
                "Noise augmentation is a share of the schedule in [0, 1), received "
                f"{self.augmentation}. 0 is none."
            )

    def __call__(
        self, model: Any, batch: RestorationBatch, keys: Keys
    ) -> tuple[Float[Array, ""], Metrics]:
        """See `AbstractObjective`."""
        objective = self.objective
        network = Computing(rematerialise(model, objective.remat), objective.policy)
        losses = over_examples(
            SuperResolution.example, self, network, batch.images, batch.low, batch.text, keys
        )
        return jnp.mean(losses), {}

    def example(
        self,
        network: Any,
        image: UInt8[Array, "height width 3"],
        low: UInt8[Array, "low_height low_width 3"],
        text: Any,
        key: Key,
    ) -> Float[Array, ""]:
        """The loss of one pair."""
        schedule = self.objective.schedule
        level_key, noise_key, key = jax.random.split(key, 3)
        level = jax.random.uniform(level_key) * self.augmentation * schedule.steps
        clean = mode(self.vae, to_unit(image))
        picture = mode(self.vae, enlarged(to_unit(low), (image.shape[0], image.shape[1])))
        if self.augmentation:
            noise = jax.random.normal(noise_key, picture.shape, jnp.float32)
            picture = corrupt(picture, noise, schedule.alpha(level), schedule.sigma(level))

        def beside(x: Latent, t: Any, text: Any) -> Latent:
            return network(x, t, PictureCondition(text, picture, level))

        return self.objective.example(beside, clean, text, key)


def mode(vae: VAE, image: Image) -> Float[Array, "latent_height latent_width channels"]:
    """The scaled latent of an image, without noise."""
    return jax.lax.stop_gradient(vae.scaled(vae.encode(image).mode()))
