"""Pixels <-> latents: Stable Diffusion's autoencoder, its training loss, tiles for large images."""

from .gaussian import DiagonalGaussian as DiagonalGaussian
from .vae import VAE as VAE, VAEConfig as VAEConfig
