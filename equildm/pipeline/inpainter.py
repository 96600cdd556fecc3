"""Painting a region of an image anew, by a model that was trained for it."""

import dataclasses
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from .._types import TextEmbedding
from ..denoise import (
    AbstractNetworkConfig,
    AbstractNetworkWrap,
    ConcatConfig,
    ImageCondition,
)
from ..images import check_mask, check_pixels, to_unit
from ..latents import VAE
from ..noise.grids import Levels
from ..sampling.solvers import Solver
from ..text import embed_prompts
from ..training import masked_condition
from .model import LatentDiffusion
from .text_to_image import TextToImage


@dataclasses.dataclass(frozen=True)
class InpainterConfig(AbstractNetworkWrap):
    """A network that was trained for inpainting, around its `ConcatConfig`.

    Its condition is that of `masked_condition`: the mask and the latent of the masked image.
    """

    @classmethod
    def for_latents(cls, of: AbstractNetworkConfig, channels: int) -> "InpainterConfig":
        """The config for a UNet whose latents have so many channels."""
        return cls(ConcatConfig(of, channels=channels + 1))


class Inpainter(eqx.Module):
    """Paints the masked region of images, as captions say.

        inpainter = Inpainter(load_pretrained("runs/inpaint"))
        painted = inpainter(images, masks, ["a red heart"])

    **Fields:**

    - `model`: its network is conditioned on an `ImageCondition`, its config is an
        `InpainterConfig`.
    - `compute`: dtype of the network's arithmetic, by default float32.
    """

    model: LatentDiffusion
    compute: str | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        network = self.model.config.network
        if not isinstance(network, InpainterConfig):
            raise ValueError(
                "Inpainter takes a model of inpaint.py, received one whose network is a "
                f"{type(network).__name__}. `sampling.Inpainted` paints with a model of captions "
                "that was not trained for it."
            )

    def __call__(
        self,
        images: UInt8[np.ndarray, "count height width 3"],
        masks: Bool[np.ndarray, "count height width"],
        prompts: Sequence[str],
        *,
        steps: int | None = None,
        guidance_scale: float | Sequence[float] | None = None,
        solver: Solver | None = None,
        levels: Levels | None = None,
        negative_prompt: str = "",
        seed: int = 0,
        seeds: Sequence[int] | None = None,
        batch_size: int | None = None,
    ) -> Float[np.ndarray, "count height width 3"]:
        """Images in [-1, 1]. Where a mask is false, the pixels are exactly those of `images`.

        **Arguments:**

        - `images`: 8 bits a channel, of sides that the network can take.
        - `masks`: true where an image is to be painted; what is there is not seen.
        - `prompts`: one for each image; of the whole image, not of the region alone.
        - others: as of `TextToImage`.
        """
        count = len(images)
        if len(prompts) != count or masks.shape != images.shape[:3]:
            raise ValueError(
                "Inpainter takes one mask of the image's size and one prompt for each image, "
                f"received images {images.shape}, masks {masks.shape} and {len(prompts)} prompts."
            )
        check_pixels(images)
        check_mask(masks)
        model = self.model
        height, width = images.shape[1:3]
        sampler = TextToImage(model, height=height, width=width, compute=self.compute)
        text, null = embed_prompts(model.text_encoder, prompts, negative_prompt)
        sampling = model.sampling(steps, solver, levels=levels)
        painted = sampler.generate(
            _conditions(model.vae, jnp.asarray(images), jnp.asarray(masks), text),
            null,
            levels=sampling,
            guidance_scale=guidance_scale,
            solver=solver,
            seed=seed,
            seeds=seeds,
            batch_size=batch_size,
        )
        return np.where(masks[..., None], painted, to_unit(images))


@eqx.filter_jit
def _conditions(
    vae: VAE,
    images: UInt8[Array, "count height width 3"],
    masks: Bool[Array, "count height width"],
    text: TextEmbedding,
) -> ImageCondition:
    """Of every image, one after the other: a batch may be larger than what fits at once."""
    return jax.lax.map(
        lambda example: masked_condition(vae, to_unit(example[0]), *example[1:]),
        (images, masks, text),
    )
