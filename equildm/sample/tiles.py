"""Denoising latents larger than those that a network was trained on."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from .._types import Latent, NoiseLevel
from ..denoise import AbstractDenoiser, PictureCondition
from ..latents import by_tiles


class TiledDenoiser(AbstractDenoiser):
    """Another denoiser's clean estimates of overlapping tiles, cross-faded where they overlap.

    Every step of the solver blends, so that the tiles grow together (Bar-Tal et al. 2023,
    "MultiDiffusion"): there are no seams in the noise, which is drawn once for the whole latent,
    and none in the estimate. One tile is in memory at a time.

    **Fields:**

    - `denoiser`: conditioned on a `PictureCondition`, whose picture is cut into the same tiles.
    - `tile`: side, in positions; what the network was trained on. It divides by what the network
        asks of its input's sides.
    - `overlap`: of neighbours at least, in positions.
    """

    denoiser: AbstractDenoiser
    tile: int = eqx.field(static=True)
    overlap: int = eqx.field(static=True)

    def __call__(self, y: Latent, s: NoiseLevel, condition: PictureCondition) -> Latent:
        """See `AbstractDenoiser`."""
        channels = y.shape[-1]

        def piece(both: Any) -> Any:
            picture = both[..., channels:]
            return self.denoiser(
                both[..., :channels],
                s,
                PictureCondition(condition.text, picture, condition.level),
            )

        both = jnp.concatenate([y, condition.picture.astype(y.dtype)], -1)
        return by_tiles(piece, both, (1, 1), channels, self.tile, self.overlap)
