"""Scores of restored images, such as enlarged ones, beside the originals.

scorer = RestorationScorer()
scores = {
    "bicubic": scorer(bicubic_baseline(squares.low, 64), squares.images),
    "model": scorer(images, squares.images),
}
table = restoration_table(scores, squares.groups)
"""

from collections.abc import Mapping
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped, UInt8

from ..data.degrade import resized
from ..features import AlexNet, LPIPS
from ..images import to_uint8, to_unit
from ..interop import load_lpips
from ..latents import reconstruct, VAE
from .bootstrap import interval
from .pair_distance import PairDistance
from .psnr import psnr
from .ssim import ssim

Images = UInt8[np.ndarray, "count height width 3"]
Values = Float[np.ndarray, "count"]


class RestorationScores(NamedTuple):
    """The scores of each image of a set."""

    psnr: Values
    """Decibels, see `psnr`."""
    ssim: Values
    """At most 1, see `ssim`."""
    lpips: Values
    """Distance by AlexNet, 0 for equal images, see `LPIPS`."""

    def means(self) -> dict[str, float]:
        """The mean of each score by its name, rounded to 4 digits."""
        return {name: round(float(values.mean()), 4) for name, values in self._asdict().items()}

    def summary(self, groups: Shaped[np.ndarray, "count"]) -> str:
        """The means with their 95 % confidence intervals, see `interval`, in one line."""
        parts = []
        for name, values in self._asdict().items():
            low, high = interval(values, groups)
            parts.append(f"{name} {values.mean():.4f} [{low:.4f}, {high:.4f}]")
        return "   ".join(parts)


class RestorationScorer(eqx.Module):
    """PSNR, SSIM and LPIPS of restored images."""

    lpips: LPIPS

    def __init__(self) -> None:
        """Reads the weights of LPIPS."""
        self.lpips = load_lpips("alex")

    def __call__(self, images: Images, references: Images) -> RestorationScores:
        """The scores of each image.

        **Arguments:**

        - `images`: the restored images, at least 11 pixels a side.
        - `references`: the original of each.
        """
        values = _scores(self.lpips, jnp.asarray(to_unit(images)), jnp.asarray(to_unit(references)))
        return RestorationScores(*map(np.asarray, values))


@eqx.filter_jit
def _scores(
    lpips: LPIPS,
    images: Float[Array, "count height width 3"],
    references: Float[Array, "count height width 3"],
) -> tuple[Float[Array, "count"], ...]:
    return tuple(jax.vmap(score)(images, references) for score in (psnr, ssim, lpips))


def bicubic_baseline(low: Images, size: int) -> UInt8[np.ndarray, "count size size 3"]:
    """Small images enlarged to `size` pixels a side by bicubic interpolation."""
    large = [resized(image.astype(np.float32) / 255, (size, size), "antialiased") for image in low]
    return to_uint8(2 * np.stack(large) - 1)


def reconstruction_baseline(vae: VAE, images: Images) -> Images:
    """The originals through the VAE: the best that a model of its latents can restore."""
    return to_uint8(np.asarray(reconstruct(vae, jnp.asarray(to_unit(images)))))


Row = dict[str, float | tuple[float, float]]


def restoration_table(
    scores: Mapping[str, RestorationScores], groups: Shaped[np.ndarray, "count"]
) -> dict[str, Row]:
    """Means, differences and their 95 % confidence intervals.

    A row has, for each score such as `psnr`:

    - `psnr`, `psnr interval`: its mean;
    - `psnr over OTHER`, `psnr over OTHER interval`: the mean difference to another row, image by
      image.

    **Arguments:**

    - `scores`: of each method, on the same images.
    - `groups`: the group of each image, see `interval`.

    **Returns:** a row for each method.
    """
    return {name: _row(name, scores, groups) for name in scores}


def _row(
    name: str, scores: Mapping[str, RestorationScores], groups: Shaped[np.ndarray, "count"]
) -> Row:
    row: Row = {}
    for kind, values in scores[name]._asdict().items():
        row[kind] = round(float(values.mean()), 4)
        row[f"{kind} interval"] = interval(values, groups)
        for other in scores:
            if other != name:
                difference = values - scores[other]._asdict()[kind]
                row[f"{kind} over {other}"] = round(float(difference.mean()), 4)
                row[f"{kind} over {other} interval"] = interval(difference, groups)
    return row


def reconstruction_quality(
    vae: VAE, images: Float[np.ndarray, "count height width 3"]
) -> dict[str, int | float]:
    """How well a VAE reconstructs images in [-1, 1]: their number, PSNR (dB) and LPIPS (AlexNet).

    Reconstructions are clipped to [-1, 1] and not rounded to 8 bits. AlexNet takes no image of a
    side under 31 pixels: there is no LPIPS of these.
    """
    reconstructed = np.clip(np.asarray(reconstruct(vae, jnp.asarray(images))), -1.0, 1.0)
    ratios = jax.vmap(psnr)(jnp.asarray(reconstructed), jnp.asarray(images))
    quality = {"images": len(images), "psnr_db": round(float(np.mean(ratios)), 2)}
    if min(images.shape[1:3]) >= AlexNet.smallest:
        distances = PairDistance()(reconstructed, images)
        quality["lpips_alex"] = round(float(np.mean(distances)), 4)
    return quality
