"""What recipes around super-resolution share: a run's upscaler, its data, scores of pictures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import choices
import equinox as eqx
import jax
import jax.numpy as jnp
import models
import numpy as np
import train_vae

from equildm import TextEmbedding
from equildm.data import (
    AbstractSource,
    HeldPictures,
    open_source,
    Skips,
    split,
    to_pixels,
    to_unit,
)
from equildm.data.degrade import AbstractDegradation, degraded, resized
from equildm.interop import load_lpips, load_vae
from equildm.latents import VAE
from equildm.metrics import psnr, ssim
from equildm.runtime import Run
from equildm.sample import recoloured, Upscaler
from equildm.text import embed

SCORES = ("psnr", "ssim", "lpips")


class Held(NamedTuple):
    """Squares of held-out pictures."""

    images: np.ndarray
    """The good ones, uint8."""
    low: np.ndarray
    """The bad ones of them, uint8."""
    groups: np.ndarray
    """Which picture each was cut out of."""


def upscaler(run: Run, model: models.Model, network: object) -> Upscaler:
    """Small pictures to large ones with this network and the run's own VAE."""
    if model.upscaling is None:
        raise ValueError(
            f"{run.path} makes pictures of captions: python recipes/sample.py {run.path}. "
            "recipes/super_resolution.py makes runs that make pictures larger."
        )
    vae, _ = load_vae(run.path / "vae")
    text = models.text_encoder(run, model.caption_length)
    null: TextEmbedding = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), embed(text, [""]))
    return Upscaler(
        model.denoiser(network),
        vae,
        choices.SCHEDULES[model.schedule],
        null,
        scale=model.upscaling.scale,
        tile=model.latent_shape[0],
        multiple=2 ** (len(model.unet.multipliers) - 1),
        augmented=model.upscaling.augmentation > 0,
    )


def sources(data: str, shrink: int, held_out: float) -> tuple[AbstractSource, AbstractSource]:
    """Pictures to train on and pictures held out: by caption, or by file where there is none."""
    source = HeldPictures(open_source(data), shrink)
    training, held = split(source, held_out)
    return (training, held) if len(held) else split(source, held_out, by="name")


def held_squares(
    source: AbstractSource,
    size: int,
    degradation: AbstractDegradation,
    count: int,
    *,
    texture: float = 6.0,
) -> Held:
    """The same squares always: of each picture in turn, at random places where there is something
    to see (a standard deviation above `texture`, of 255). What cannot be used is passed over."""
    skips = Skips(source)
    images: list[np.ndarray] = []
    low: list[np.ndarray] = []
    groups: list[int] = []
    tries = 0
    while len(source) and len(images) < count and tries < 20 * count + 20 * len(source):
        index, tries = tries % len(source), tries + 1
        generator = np.random.default_rng((index, tries))
        image = skips.attempt(index, source.image)
        if image is None or min(image.shape[:2]) < size:
            continue
        room = np.array(image.shape[:2]) - size
        top, left = (int(x) for x in generator.random(2) * (room + 0.999))
        square = image[top : top + size, left : left + size]
        if square.std() > texture:
            images.append(square)
            low.append(degraded(square, degradation, generator))
            groups.append(index)
    if not images:
        raise ValueError(
            f"There must be a held-out picture of at least {size}x{size} pixels with something to "
            f"see on it; of {len(source)} held out none is. Hold out more of them: --held-out 0.2."
        )
    return Held(np.stack(images), np.stack(low), np.array(groups))


def bicubic(low: np.ndarray, size: int) -> np.ndarray:
    """Small pictures resized up, uint8."""
    large = [resized(image.astype(np.float32) / 255, (size, size), "antialiased") for image in low]
    return to_pixels(2 * np.stack(large) - 1)


def colours_alone(low: np.ndarray, size: int, width: float) -> np.ndarray:
    """Grey pictures with the colours of small ones, uint8: these, blurred and resized up."""
    grey = jnp.zeros((size, size, 3))
    colour = jax.jit(jax.vmap(lambda small: recoloured(grey, small, width)))
    return to_pixels(np.asarray(colour(jnp.asarray(to_unit(low)))))


def through(vae: VAE, images: np.ndarray) -> np.ndarray:
    """Good pictures to latents and back, uint8: the best that a model of these latents can do."""
    return to_pixels(np.asarray(train_vae.through(vae, to_unit(images))))


def upscaled(make: Upscaler, low: np.ndarray, levels: np.ndarray, **options: Any) -> np.ndarray:
    """Each small picture by itself, uint8; the i-th from seed i."""
    made = [make(image, levels=levels, seed=i, **options) for i, image in enumerate(low)]
    return to_pixels(np.stack(made))


def scorer() -> Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]:
    """`(made, true) -> ` PSNR in decibels, SSIM and LPIPS (AlexNet) of each picture."""
    distance = load_lpips("alex")

    @eqx.filter_jit
    def compare(made: jax.Array, true: jax.Array) -> tuple[jax.Array, ...]:
        return tuple(jax.vmap(score)(made, true) for score in (psnr, ssim, distance))

    def scores(made: np.ndarray, true: np.ndarray) -> dict[str, np.ndarray]:
        values = compare(jnp.asarray(to_unit(made)), jnp.asarray(to_unit(true)))
        return dict(zip(SCORES, map(np.asarray, values), strict=True))

    return scores


def read_picture(path: Path) -> np.ndarray:
    """A picture file as 8-bit RGB; `ValueError` if it is none."""
    from equildm.data import decode_image

    try:
        return decode_image(path.read_bytes(), str(path))
    except OSError as error:
        raise ValueError(f"A picture must be a file; {path} cannot be read: {error}") from error
