"""Small pictures to large ones."""

import math
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from .._types import Key, TextEmbedding
from ..denoise import AbstractDenoiser, Guided, PictureCondition
from ..latents import enlarged, tiled_decode, tiled_encode, VAE
from ..noise import AbstractSchedule, corrupt
from .recolour import recoloured
from .sampling import sample
from .solvers import DDIM
from .tiles import TiledDenoiser

_DDIM = DDIM()


class Upscaler(eqx.Module):
    """A denoiser of latents beside a small picture's, with the VAE that it was trained with.

        large = upscaler(picture, levels=grids.trailing(schedule, 20), seed=0)

    **Fields:**

    - `denoiser`: conditioned on a `PictureCondition`.
    - `vae`: between latents and pixels.
    - `schedule`: of the noise that the small picture's latent may be given.
    - `null_text`: embedding of the empty caption.
    - `scale`: how much larger pictures get.
    - `tile`: side of the latents that it was trained on, in positions; larger ones are made of
        tiles.
    - `multiple`: what the sides of a latent must divide by.
    - `augmented`: whether it was trained on noised small pictures.
    """

    denoiser: AbstractDenoiser
    vae: VAE
    schedule: AbstractSchedule
    null_text: TextEmbedding
    scale: int = eqx.field(static=True)
    tile: int = eqx.field(static=True)
    multiple: int = eqx.field(static=True, default=8)
    augmented: bool = eqx.field(static=True, default=True)

    def __call__(
        self,
        picture: UInt8[np.ndarray, "height width 3"],
        *,
        levels: Float[np.ndarray, "levels"],
        seed: int = 0,
        solver: diffrax.AbstractSolver = _DDIM,
        text: TextEmbedding | None = None,
        weight: float = 1.0,
        level: float = 0.0,
        overlap: int | None = None,
        recolour: float = 0.0,
    ) -> Float[np.ndarray, "large_height large_width 3"]:
        """A picture `scale` times as large, in [-1, 1]. Each size compiles once.

        **Arguments:**

        - `picture`: of any size, 8 bits a channel.
        - `levels`: the noise levels to step through, see `equildm.noise.grids`.
        - `seed`: the same one makes the same picture.
        - `solver`: any of this library's or diffrax's.
        - `text`: the caption's embedding, by default that of none.
        - `weight`: of classifier-free guidance; 1 is none, and costs one evaluation a step.
        - `level`: of noise that the picture is given first, as a time of the schedule: more lets
            the model invent more. Of no use to a model that was not trained with it.
        - `overlap`: of tiles, in positions; by default a quarter of a tile.
        - `recolour`: what is coarser than so many pixels of the small picture comes from there,
            see `recoloured`; 0 leaves the model's colours.
        """
        if not recolour >= 0:
            raise ValueError(f"Colours are blurred by a width of 0 or more, received {recolour}.")
        if level and not self.augmented:
            raise ValueError(
                f"This model was trained on small pictures as they are, received level {level}. "
                "Use 0, or train it with noise augmentation."
            )
        height, width = picture.shape[:2]
        large = height * self.scale, width * self.scale
        step = self.multiple * self.vae.factor
        step = step // math.gcd(step, self.scale)  # in pixels of the small picture
        margins = [(0, -side % step) for side in (height, width)]
        padded = np.pad(picture, (*margins, (0, 0)), mode="edge")
        arrays = (
            jnp.asarray(padded),
            self.null_text if text is None else text,
            jnp.asarray(level, jnp.float32),
            jax.random.key(seed),
            jnp.asarray(levels),
        )
        overlap = max(1, self.tile // 4) if overlap is None else overlap
        made = _upscaled(self, solver, weight, overlap, float(recolour), *arrays)
        return np.asarray(made)[: large[0], : large[1]]


@eqx.filter_jit
def _upscaled(
    upscaler: Upscaler,
    solver: diffrax.AbstractSolver,
    weight: Any,
    overlap: int,
    recolour: float,
    picture: UInt8[Array, "height width 3"],
    text: TextEmbedding,
    level: Float[Array, ""],
    key: Key,
    levels: Float[Array, "levels"],
) -> Float[Array, "large_height large_width 3"]:
    vae, tiles = upscaler.vae, {"tile": upscaler.tile, "overlap": overlap}
    noise_key, picture_key, solver_key = jax.random.split(key, 3)
    small = picture.astype(jnp.float32) / 127.5 - 1
    size = upscaler.scale * small.shape[0], upscaler.scale * small.shape[1]
    latent = vae.scaled(tiled_encode(vae, enlarged(small, size), **tiles).mode())
    if upscaler.augmented:
        noise = jax.random.normal(picture_key, latent.shape, jnp.float32)
        alpha, sigma = upscaler.schedule.alpha(level), upscaler.schedule.sigma(level)
        latent = corrupt(latent, noise, alpha, sigma)

    noise = jax.random.normal(noise_key, latent.shape, jnp.float32)
    denoiser = Guided(TiledDenoiser(upscaler.denoiser, **tiles), weight)
    captions = (text, upscaler.null_text)
    pair = tuple(PictureCondition(caption, latent, level) for caption in captions)
    made = sample(denoiser, noise, levels, solver, condition=pair, key=solver_key)
    decoded = tiled_decode(vae, vae.unscaled(made), **tiles)
    return recoloured(decoded, small, recolour) if recolour else decoded
