"""A model before its training: a fresh network for a VAE and a text encoder."""

import dataclasses

import jax
from jax.sharding import Mesh

from ..denoise import AbstractBackboneConfig, AbstractNetworkConfig, BackboneName, BACKBONES
from ..interop import Scheduler
from ..latents import VAE
from ..nn import initialised
from ..noise import NoiseConfig
from ..text import AbstractTextEncoder
from .model import LatentDiffusion, ModelConfig


def backbone_for(
    kind: BackboneName, size: str | int, vae: VAE, text_encoder: AbstractTextEncoder
) -> AbstractBackboneConfig:
    """The config of a preset for the latents of a VAE and the captions of a text encoder.

    **Arguments:**

    - `kind`: a name in `BACKBONES`.
    - `size`: a name such as `"tiny"` or `"866M"`, or a UNet's width, see `preset`, `dit_preset` and
        `mmdit_preset`.
    - `vae`, `text_encoder`: the parts that the network is for.

    **Raises** `ValueError` for a size that the kind does not have.
    """
    channels = vae.latent_channels
    return BACKBONES[kind](
        size, in_channels=channels, out_channels=channels, context_width=text_encoder.width
    )


def new_model(
    network: AbstractNetworkConfig,
    vae: VAE,
    text_encoder: AbstractTextEncoder,
    *,
    image_size: int,
    noise: NoiseConfig,
    seed: int = 0,
    mesh: Mesh,
) -> LatentDiffusion:
    """A model with fresh weights. Each array is initialised in its shards.

    **Arguments:**

    - `network`: sizes of the network, see `backbone_for`.
    - `vae`, `text_encoder`: the other parts, which are pretrained.
    - `image_size`: side of the images in pixels.
    - `noise`: schedule and prediction.
    - `seed`: of the initial weights.
    - `mesh`: the devices.

    **Raises** `ValueError` for an image size that VAE and network cannot take, and for a network of
    other latents or captions than theirs, before anything is allocated.
    """
    backbone = network.backbone
    if isinstance(backbone, AbstractBackboneConfig):
        widths = backbone.in_channels, backbone.context_width
        if widths != (vae.latent_channels, text_encoder.width):
            raise ValueError(
                "A network takes the VAE's latents and the text encoder's tokens, received one of "
                f"in_channels={widths[0]} and context_width={widths[1]} for a VAE of "
                f"{vae.latent_channels} channels and tokens of width {text_encoder.width}. Use "
                "those, or `backbone_for`."
            )
    side = image_size // vae.factor
    multiple = vae.factor * network.multiple
    if image_size < multiple or image_size % multiple:
        raise ValueError(
            f"The sides of images are multiples of {multiple} (VAE {vae.factor} x network "
            f"{network.multiple}), received {image_size}. Use for instance "
            f"{max(1, round(image_size / multiple)) * multiple}."
        )
    config = ModelConfig(
        network=network,
        image_size=image_size,
        latent_shape=(side, side, vae.latent_channels),
        scheduler=Scheduler(*noise.build(), spacing="trailing", ends_clean=True),
        max_tokens=text_encoder.max_tokens,
    )
    config = with_best_sampling(config)
    built = initialised(lambda: network.build(key=jax.random.key(seed)), mesh)
    return LatentDiffusion(built, vae, text_encoder, config)


def with_best_sampling(config: ModelConfig) -> ModelConfig:
    """With the sampler that comes closest to the exact flow, as docs/samplers.md measures it."""
    return dataclasses.replace(config, solver="deis3", sampling_steps=20, grid="karras")
