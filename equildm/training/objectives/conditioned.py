"""Denoising conditioned on something that the step makes of the example itself."""

from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..._types import Condition, Image, Key, Keys, Latent, Metrics, Network, TextEmbedding, Time
from ...data import CaptionedBatch
from ...denoise import ControlCondition, ImageCondition
from ...images import check_mask, to_unit
from ...latents import VAE
from ...runtime.fsdp import sharded_vmap
from ..masks import MakeMask, random_mask
from .base import AbstractObjective
from .denoising import DenoisingObjective


@runtime_checkable
class MakeCondition(Protocol):
    """A function that makes the network's condition from an example."""

    def __call__(
        self, vae: VAE, example: CaptionedBatch, text: TextEmbedding, key: Key
    ) -> Condition:
        """**Arguments:**

        - `vae`: encodes images; see `VAE.encode_scaled`.
        - `example`: one example of the batch, without the batch axis.
        - `text`: its caption, or the empty one where the caption was dropped.
        - `key`: for random choices.
        """


class ConditionedDenoising(AbstractObjective):
    """Denoising score matching. The training step makes the condition from each image.

        loss = weight(SNR) * mean((network(x_t, t, condition(image, text)) - target)^2)

    The image is encoded in the step as well. Caption dropout replaces the text and nothing else, so
    that guidance leads away from the caption only. A task of your own is one function:

        def colour(vae, example, text, key):
            mean = jnp.mean(to_unit(example.images), axis=(0, 1))
            return ControlCondition(text, jnp.broadcast_to(mean, example.images.shape))

        objective = ConditionedDenoising(denoising, vae, colour)

    **Fields:**

    - `objective`: the loss of a latent with its condition.
    - `vae`: not trained.
    - `condition`: see `MakeCondition`; `MaskedImage()` for inpainting, `control_image` for a
        ControlNet.
    """

    objective: DenoisingObjective
    vae: VAE
    condition: MakeCondition

    def __call__(
        self, model: Network, batch: CaptionedBatch, keys: Keys
    ) -> tuple[Float[Array, ""], Metrics]:
        """See `AbstractObjective`."""
        network = self.objective.prepared(model)
        losses = sharded_vmap(ConditionedDenoising.example, self, network, batch, keys)
        return jnp.mean(losses), {}

    def example(self, network: Network, example: CaptionedBatch, key: Key) -> Float[Array, ""]:
        """The loss of one example."""
        condition_key, key = jax.random.split(key)
        clean = jax.lax.stop_gradient(self.vae.encode_scaled(to_unit(example.images)))

        def conditioned(x: Latent, t: Time, text: TextEmbedding) -> Latent:
            return network(x, t, self.condition(self.vae, example, text, condition_key))

        return self.objective.example(conditioned, clean, example.text, key)


class MaskedImage(eqx.Module):
    """Inpainting: the image without a random region, and where that region is.

    **Fields:**

    - `mask`: draws the region.
    """

    mask: MakeMask = random_mask

    def __call__(
        self, vae: VAE, example: CaptionedBatch, text: TextEmbedding, key: Key
    ) -> ImageCondition:
        """See `MakeCondition`."""
        image = to_unit(example.images)
        return masked_condition(vae, image, self.mask(key, *image.shape[:2]), text)


def masked_condition(
    vae: VAE, image: Image, mask: Bool[Array, "height width"], text: TextEmbedding
) -> ImageCondition:
    """The condition of an inpainting model: `[mask, latent of the masked image]`, channels in this
    order as in Stable Diffusion's inpainting model (Rombach et al. 2022, section 4.5).

    **Arguments:**

    - `vae`: encodes the image.
    - `image`: in [-1, 1]. Where the mask is true it is replaced by grey.
    - `mask`: true where the image is to be painted. The latent's mask is the share of each
        position's pixels that is.
    - `text`: the caption.

    **Raises** `ValueError` for a mask that is not boolean.
    """
    check_mask(mask)
    latent = jax.lax.stop_gradient(vae.encode_scaled(jnp.where(mask[..., None], 0.0, image)))
    height, width = latent.shape[:2]
    cells = mask.reshape(height, vae.factor, width, vae.factor)
    share = jnp.mean(cells.astype(latent.dtype), axis=(1, 3))
    image = jnp.concatenate([share[..., None], latent], axis=-1)
    return ImageCondition(text, image, jnp.zeros(()))


def control_image(
    vae: VAE, example: CaptionedBatch, text: TextEmbedding, key: Key
) -> ControlCondition:
    """ControlNet: the control image of the batch, in pixels."""
    del vae, key
    if example.control is None:
        raise ValueError(
            "A ControlNet is trained on batches with control images, received one without. Pass "
            "`control=` to CaptionedImages."
        )
    return ControlCondition(text, to_unit(example.control))
