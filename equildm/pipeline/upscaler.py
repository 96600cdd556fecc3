"""Small images to large ones."""

import math
from collections.abc import Sequence
from typing import TypedDict, Unpack

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from .._types import Key, TextEmbedding
from ..denoise import ImageCondition
from ..images import check_pixels, to_unit
from ..latents import tiled_decode, tiled_encode, upsample
from ..noise import corrupt
from ..noise.grids import Levels
from ..runtime import check_seeds
from ..sampling import sample, TiledDenoiser
from ..sampling.solvers import Solver
from .color_fix import color_fix
from .guidance_scales import checked_scales
from .model import LatentDiffusion
from .upscaler_config import UpscalerConfig


class UpscaleOptions(TypedDict, total=False):
    """Arguments of `Upscaler` that images of a batch share."""

    steps: int | None
    levels: Levels | None
    solver: Solver | None
    text: TextEmbedding | None
    guidance_scale: float | None
    noise_level: float
    overlap: int | None
    color_fix: float


class Upscaler(eqx.Module):
    """Small images to large ones, by a model of super-resolution.

        upscaler = Upscaler(load_pretrained("runs/upscale"))
        large = upscaler(image, steps=20)

    The latent is denoised in overlapping tiles of the size that the model was trained on, and their
    clean estimates are cross-faded at every step of the solver, see `TiledDenoiser`.

    **Fields:**

    - `model`: its network is conditioned on an `ImageCondition`, its config is an `UpscalerConfig`.
    - `null_text`: embedding of the empty caption.
    """

    model: LatentDiffusion
    null_text: TextEmbedding

    def __init__(self, model: LatentDiffusion):
        """**Arguments:** the model, see `load_pretrained`.

        **Raises** `ValueError` for a model of another task.
        """
        if not isinstance(model.config.network, UpscalerConfig):
            raise ValueError(
                "Upscaler takes a model of super_resolution.py, received one whose network is a "
                f"{type(model.config.network).__name__}. TextToImage samples models of captions."
            )
        self.model = model
        self.null_text = model.null_text()

    @property
    def config(self) -> UpscalerConfig:
        """Scale and augmentation."""
        network = self.model.config.network
        assert isinstance(network, UpscalerConfig)
        return network

    def __call__(
        self,
        image: UInt8[np.ndarray, "height width 3"],
        *,
        steps: int | None = None,
        levels: Levels | None = None,
        seed: int = 0,
        solver: Solver | None = None,
        text: TextEmbedding | None = None,
        guidance_scale: float | None = None,
        noise_level: float = 0.0,
        overlap: int | None = None,
        color_fix: float = 0.0,
    ) -> Float[np.ndarray, "large_height large_width 3"]:
        """An image `scale` times as large, in [-1, 1]. Each size compiles once.

        **Arguments:**

        - `image`: of any size, 8 bits a channel.
        - `steps`: sampling steps, by default the model's own.
        - `levels`: the noise levels instead, see `equildm.noise.grids`.
        - `seed`: the same one makes the same image.
        - `solver`: a name in `SOLVERS`, or any solver of this library's or diffrax's; by default
            the model's own.
        - `text`: embedding of the caption, by default of the empty one.
        - `guidance_scale`: of classifier-free guidance, by default the model's own. 1 is none, and
            costs one evaluation of the network a step instead of two.
        - `noise_level`: noise that the small image gets first, as a time of the schedule: the more,
            the more the model invents. Only for a model that was trained with noise augmentation.
        - `overlap`: of the tiles, in positions of the latent; by default a quarter of a tile.
        - `color_fix`: standard deviation of a blur in pixels of the small image; structure coarser
            than that is taken from there, see `color_fix`. 0 leaves the model's colours.
        """
        model, scale = self.model, self.config.scale
        if image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ValueError(
                f"Upscaler takes one image (height, width, 3), received {image.shape}. Its method "
                "`batch` takes several."
            )
        check_pixels(image)
        if not 0 <= color_fix < math.inf:
            raise ValueError(
                f"color_fix blurs by a width of 0 or more, received {color_fix}. Use for "
                "instance 2."
            )
        most = self.config.augmentation * model.schedule.steps
        if not 0 <= noise_level <= most:
            raise ValueError(
                f"This model was trained with noise levels of the small image from 0 to {most:g}, "
                f"received noise_level {noise_level}. Choose one of these."
            )
        check_seeds(seed)
        levels, solver, *scales = model.sampling(steps, solver, levels=levels)
        if guidance_scale is None:
            guidance_scale = model.config.guidance_scale
        (guidance_scale,) = checked_scales(guidance_scale, 1, cfg_plus_plus=False)
        tile = model.config.latent_shape[0]
        if overlap is None:
            overlap = max(1, tile // 4)
        height, width = image.shape[:2]
        large = _upscale(
            self,
            solver,
            float(guidance_scale),
            (tile, overlap),
            float(color_fix),
            jnp.asarray(self._padded(image)),
            self.null_text if text is None else text,
            jnp.asarray(noise_level, jnp.float32),
            jax.random.key(seed),
            (jnp.asarray(levels), jnp.asarray(scales, jnp.float32)),
        )
        return np.asarray(large)[: height * scale, : width * scale]

    def batch(
        self,
        images: UInt8[np.ndarray, "count height width 3"],
        *,
        seeds: Sequence[int] | None = None,
        **options: Unpack[UpscaleOptions],
    ) -> Float[np.ndarray, "count large_height large_width 3"]:
        """Images of one size, each by itself.

        **Arguments:**

        - `images`: at least one.
        - `seeds`: a seed for each image, by default 0, 1, 2, ...
        - `options`: as of the call.
        """
        seeds = range(len(images)) if seeds is None else seeds
        if not len(images) or len(images) != len(seeds):
            raise ValueError(
                "Upscaler.batch takes at least one image, and one seed for each; received "
                f"{len(images)} images and {len(seeds)} seeds."
            )
        pairs = zip(images, seeds)
        return np.stack([self(image, seed=seed, **options) for image, seed in pairs])

    def _padded(
        self, image: UInt8[np.ndarray, "height width 3"]
    ) -> UInt8[np.ndarray, "padded_height padded_width 3"]:
        """The image with its last pixels repeated, up to sides that the model can take."""
        step = self.model.config.network.multiple * self.model.vae.factor
        step = step // math.gcd(step, self.config.scale)  # in pixels of the small image
        margins = [(0, -side % step) for side in image.shape[:2]]
        return np.pad(image, (*margins, (0, 0)), mode="edge")


@eqx.filter_jit
def _upscale(
    upscaler: Upscaler,
    solver: diffrax.AbstractSolver,
    guidance_scale: float,
    tiling: tuple[int, int],
    blur: float,
    image: UInt8[Array, "height width 3"],
    text: TextEmbedding,
    noise_level: Float[Array, ""],
    key: Key,
    sampling: tuple[Float[Array, "levels"], Float[Array, "2"]],
) -> Float[Array, "large_height large_width 3"]:
    model, config = upscaler.model, upscaler.config
    vae, tiles = model.vae, {"tile": tiling[0], "overlap": tiling[1]}
    noise_key, image_key, solver_key = jax.random.split(key, 3)
    small = to_unit(image)
    size = config.scale * small.shape[0], config.scale * small.shape[1]
    latent = vae.scaled(tiled_encode(vae, upsample(small, size), **tiles).mode())
    if config.augmentation:
        noise = jax.random.normal(image_key, latent.shape, jnp.float32)
        alpha, sigma = model.schedule.alpha(noise_level), model.schedule.sigma(noise_level)
        latent = corrupt(latent, noise, alpha, sigma)

    levels, (noise_scale, latent_scale) = sampling
    noise = noise_scale * jax.random.normal(noise_key, latent.shape, jnp.float32)
    denoiser = config.guided(TiledDenoiser(model.denoiser, **tiles), guidance_scale)
    condition = ImageCondition(text, latent, noise_level), upscaler.null_text
    sampled = sample(denoiser, noise, levels, solver, condition=condition, key=solver_key)
    decoded = tiled_decode(vae, vae.unscaled(latent_scale * sampled), **tiles)
    return color_fix(decoded, small, blur) if blur else decoded
