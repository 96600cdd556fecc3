"""Latent diffusion models in JAX: typed Equinox parts, diffrax samplers, and how they scale.

    from equildm import denoise, latents, nn, noise, sample, text, train

Each package's page says what is in it. The types that all of them share are here.
"""

from ._types import Image as Image, Latent as Latent, TextEmbedding as TextEmbedding
