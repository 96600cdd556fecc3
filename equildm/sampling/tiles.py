"""Denoising latents that are larger than those a network was trained on, by tiles."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Latent, NoiseLevel
from ..denoise import AbstractDenoiser, ImageCondition
from ..latents import by_tiles


class TiledDenoiser(AbstractDenoiser):
    """The clean estimates of overlapping tiles, cross-faded where they overlap.

    The tiles are blended at every step of the solver ("MultiDiffusion", Bar-Tal et al. 2023). So
    there are no seams: neither in the noise, which is drawn once for the latent, nor in the
    estimate. One tile is in memory at a time.

    **Fields:**

    - `denoiser`: of a tile, conditioned on an `ImageCondition`, whose image is cut into tiles too.
    - `tile`: side of a tile in latent positions, as the network was trained on; a multiple of what
        the network requires of its input's sides.
    - `overlap`: least overlap of neighbouring tiles in latent positions.
    """

    denoiser: AbstractDenoiser
    tile: int = eqx.field(static=True)
    overlap: int = eqx.field(static=True)

    def __call__(self, y: Latent, s: NoiseLevel, condition: ImageCondition) -> Latent:
        """See `AbstractDenoiser`."""
        channels = y.shape[-1]

        def denoise(both: Latent) -> Float[Array, "height width out_channels"]:
            image = both[..., channels:]
            tile_condition = ImageCondition(condition.text, image, condition.level)
            return self.denoiser(both[..., :channels], s, tile_condition)

        both = jnp.concatenate([y, condition.image.astype(y.dtype)], -1)
        return by_tiles(denoise, both, (1, 1), channels, self.tile, self.overlap)
