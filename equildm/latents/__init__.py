"""Pixels <-> latents: Stable Diffusion's autoencoder, its losses, tiles for large images."""

from .adversarial import (
    AdversarialObjective as AdversarialObjective,
    AdversarialVAE as AdversarialVAE,
)
from .discriminator import (
    discriminator_loss as discriminator_loss,
    generator_loss as generator_loss,
    PatchDiscriminator as PatchDiscriminator,
)
from .enlarged import enlarged as enlarged
from .gaussian import DiagonalGaussian as DiagonalGaussian
from .loss import VAEObjective as VAEObjective
from .tiled import by_tiles as by_tiles, tiled_decode as tiled_decode, tiled_encode as tiled_encode
from .vae import VAE as VAE, VAEConfig as VAEConfig
