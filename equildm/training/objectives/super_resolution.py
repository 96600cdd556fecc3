"""Restoring an image from its degraded version."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from ..._types import Image, Key, Keys, Latent, Metrics, Network, TextEmbedding, Time
from ...data import DegradedBatch
from ...denoise import ImageCondition
from ...images import to_unit
from ...latents import upsample, VAE
from ...noise import corrupt
from ...runtime.fsdp import sharded_vmap
from .base import AbstractObjective
from .denoising import DenoisingObjective


class SuperResolution(AbstractObjective):
    """Denoising of a latent beside that of the degraded image (Rombach et al. 2022, section 4.4).

    The degraded image is resized up (`upsample`) and encoded. Its latent is noised to a time drawn
    uniformly from 0 to `augmentation` times the schedule's steps, and the `Concatenated` network is
    conditioned on both: a network that was trained to distrust the degraded image a little invents
    more detail where that is asked for in sampling (Ho et al. 2021, "Cascaded Diffusion Models",
    section 4). Both images are encoded in the step.

    **Fields:**

    - `objective`: the loss of a latent with its caption; has schedule, prediction and weights.
    - `vae`: not trained.
    - `augmentation`: share of the schedule; 0 leaves the latent of the degraded image as it is.
    """

    objective: DenoisingObjective
    vae: VAE
    augmentation: float = eqx.field(static=True, default=0.1)

    def __check_init__(self) -> None:
        if not 0.0 <= self.augmentation < 1.0:
            raise ValueError(
                "Noise augmentation is a share of the schedule in [0, 1), received "
                f"{self.augmentation}. Use 0 for none."
            )

    def __call__(
        self, model: Network, batch: DegradedBatch, keys: Keys
    ) -> tuple[Float[Array, ""], Metrics]:
        """See `AbstractObjective`."""
        network = self.objective.prepared(model)
        losses = sharded_vmap(
            SuperResolution.example, self, network, batch.images, batch.low, batch.text, keys
        )
        return jnp.mean(losses), {}

    def example(
        self,
        network: Network,
        image: UInt8[Array, "height width 3"],
        low: UInt8[Array, "low_height low_width 3"],
        text: TextEmbedding,
        key: Key,
    ) -> Float[Array, ""]:
        """The loss of one pair."""
        schedule = self.objective.schedule
        level_key, noise_key, key = jax.random.split(key, 3)
        level = jax.random.uniform(level_key) * self.augmentation * schedule.steps
        clean = self._encode(to_unit(image))
        condition = self._encode(upsample(to_unit(low), (image.shape[0], image.shape[1])))
        if self.augmentation:
            noise = jax.random.normal(noise_key, condition.shape, jnp.float32)
            condition = corrupt(condition, noise, schedule.alpha(level), schedule.sigma(level))

        def conditioned(x: Latent, t: Time, text: TextEmbedding) -> Latent:
            return network(x, t, ImageCondition(text, condition, level))

        return self.objective.example(conditioned, clean, text, key)

    def _encode(self, image: Image) -> Float[Array, "latent_height latent_width channels"]:
        return jax.lax.stop_gradient(self.vae.encode_scaled(image))
