"""What a sampler sees of a network."""

import abc
from typing import Any

import equinox as eqx

from .._types import Latent, NoiseLevel


class AbstractDenoiser(eqx.Module):
    """Estimates the clean latent behind a noisy one: `D(y, s) = E[x0 | x0 + s eps = y]`.

    The frame of Karras et al. 2022: `y = x / alpha` is the latent plus noise of standard deviation
    `s = sigma / alpha`, whatever schedule the network was trained with. Samplers, guidance,
    inpainting and distillation wrap denoisers and are denoisers themselves.
    """

    @abc.abstractmethod
    def __call__(self, y: Latent, s: NoiseLevel, condition: Any) -> Latent:
        """**Arguments:**

        - `y`: the noisy latent, data scale.
        - `s`: its noise level, at least 0. At 0 the answer is `y` or near it.
        - `condition`: whatever this denoiser is conditioned on, for instance a `TextEmbedding`.

        **Returns:** the clean estimate, of the shape and dtype of `y`.
        """
