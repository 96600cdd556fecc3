"""Inpainting, as a denoiser around a denoiser."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._types import Condition, Latent, NoiseLevel
from ..denoise import AbstractDenoiser
from ..images import check_mask
from .terms import Denoiser

Mask = Bool[Array, "height width #channels"] | Float[Array, "height width #channels"]


class Inpainted(AbstractDenoiser):
    """Denoises where `mask` is true, and takes the known latent elsewhere:

        D = mask * D_wrapped + (1 - mask) * known

    The probability flow then moves the known part along `known + s eps` with its initial noise, and
    the reverse SDE along a bridge to it. So at each level the network sees the known part noised to
    that level, as in the replacement method (Lugmayr et al. 2022, equation 8, without resampling).
    At level 0 the known part is exact. Any solver can be used; with a stochastic one the new part
    fits the known one better.

    Construct it inside the `vmap`: it holds the arrays of one example.

    **Fields:**

    - `denoiser`: of the new part.
    - `known`: the clean latent outside of the mask.
    - `mask`: true where the latent is new; or a share from 0 (known) to 1 (new).
    """

    denoiser: Denoiser
    known: Latent
    mask: Mask

    def __check_init__(self) -> None:
        check_mask(jnp.asarray(self.mask), shares=True)
        if jnp.ndim(self.mask) != jnp.ndim(self.known):
            raise ValueError(
                f"A mask has the axes of its latent, {jnp.shape(self.known)}, the last of which "
                f"may be 1; received {jnp.shape(self.mask)}. Use mask[..., None]."
            )

    def __call__(self, y: Latent, s: NoiseLevel, condition: Condition) -> Latent:
        """See `AbstractDenoiser`."""
        share = jnp.asarray(self.mask, y.dtype)
        return share * self.denoiser(y, s, condition) + (1 - share) * self.known
