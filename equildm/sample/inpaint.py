"""Inpainting, as a denoiser around a denoiser."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool

from .._types import Latent, NoiseLevel
from ..denoise import AbstractDenoiser
from .terms import Denoiser


class Inpainted(AbstractDenoiser):
    """Paints where `mask` is true, and knows the rest:

        D = mask * D_wrapped + (1 - mask) * known

    The probability flow then carries the known part along `known + s eps` with the noise that it
    started with, and the reverse SDE along a bridge to it: at each level the network sees the known
    part noised to that level, as in the public replacement method (Lugmayr et al. 2022, equation
    8, without resampling). At level 0 the known part is exact. Any solver will do;
    a stochastic one fits the painted part to the known one better.

    **Fields:** `known` and `mask` belong to one example: construct this inside the `vmap`.
    """

    denoiser: Denoiser
    known: Latent
    mask: Bool[Array, "height width 1"] | Bool[Array, "height width channels"]

    def __call__(self, y: Latent, s: NoiseLevel, condition: Any) -> Latent:
        """See `AbstractDenoiser`."""
        return jnp.where(self.mask, self.denoiser(y, s, condition), self.known)
