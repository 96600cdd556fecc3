"""Pixels <-> latents: Stable Diffusion's autoencoder, its losses, tiles for large images."""

from .discriminator import (
    discriminator_loss as discriminator_loss,
    generator_loss as generator_loss,
    PatchDiscriminator as PatchDiscriminator,
)
from .gaussian import DiagonalGaussian as DiagonalGaussian
from .statistics import latent_statistics as latent_statistics, reconstruct as reconstruct
from .tiled import by_tiles as by_tiles, tiled_decode as tiled_decode, tiled_encode as tiled_encode
from .upsample import upsample as upsample
from .vae import VAE as VAE
from .vae_config import VAEConfig as VAEConfig
