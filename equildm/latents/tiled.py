"""Encoding and decoding images too large for the VAE at once, tile by tile.

Tiles of one size overlap, and their results are cross-faded linearly where they do. The network is
compiled for one tile, for images of any size, and holds the activations of one tile at a time.

A tile's edge lacks its surroundings. The outer quarter of an overlap is therefore dropped, and the
middle half is the cross-fade. A network whose reach (half its receptive field) is at most that
quarter gives exactly the plain result. A VAE's group norms and attention reach over the entire
tile: tiled and plain results differ a little everywhere, as in every library.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import Image, Latent
from .gaussian import DiagonalGaussian
from .vae import VAE

Plane = Float[Array, "height width channels"]


def tiled_decode(
    vae: VAE, z: Latent, *, tile: int = 64, overlap: int = 16
) -> Float[Array, "image_height image_width rgb"]:
    """`vae.decode(z)` for a large raw latent. Wrap it in `eqx.filter_jit`.

    **Arguments:**

    - `vae`: the VAE.
    - `z`: a raw latent of any size.
    - `tile`: side of a tile, in positions of the latent (64 are 512 pixels at factor 8). A latent
        of that size or less is decoded at once.
    - `overlap`: least overlap of neighbours, in positions; 1 to `tile - 1`.
    """
    return by_tiles(vae.decode, z, (1, vae.factor), vae.image_channels, tile, overlap)


def tiled_encode(vae: VAE, image: Image, *, tile: int = 64, overlap: int = 16) -> DiagonalGaussian:
    """`vae.encode(image)` for a large image. Wrap it in `eqx.filter_jit`.

    Means and logarithms of the variances are cross-faded. Arguments as of `tiled_decode`: `tile`
    and `overlap` count positions of the latent.
    """
    vae.check_image(image)

    def moments(piece: Plane) -> Array:
        gaussian = vae.encode(piece)
        return jnp.concatenate([gaussian.mean, gaussian.log_variance], -1)

    channels = 2 * vae.latent_channels
    faded = by_tiles(moments, image, (vae.factor, 1), channels, tile, overlap)
    return DiagonalGaussian(*jnp.split(faded, 2, axis=-1))


def by_tiles(
    function: Callable[[Plane], Array],
    x: Plane,
    scales: tuple[int, int],
    out_channels: int,
    tile: int,
    overlap: int,
) -> Float[Array, "out_height out_width out_channels"]:
    """Applies a function tile by tile, with a cross-fade.

    **Arguments:**

    - `function`: from a tile of the input to that of the output.
    - `x`: the input. One of the size of a tile or less is a single call.
    - `scales`: pixels per position, of input and output.
    - `out_channels`: channels of the output.
    - `tile`, `overlap`: see `tiled_decode`, in positions.
    """
    if not 0 < overlap < tile:
        raise ValueError(
            "Tiles overlap by at least one position and by less than their side, received "
            f"tile={tile} and overlap={overlap}. A quarter of the tile is usual."
        )
    scale_in, scale_out = scales
    sides = [size // scale_in for size in x.shape[:2]]
    if max(sides) <= tile:
        return function(x)
    height, width = (min(side, tile) for side in sides)
    tops, lefts = (_starts(side, tile, overlap) for side in sides)
    rows = _fades(tops, sides[0], height, overlap, scale_out)
    columns = _fades(lefts, sides[1], width, overlap, scale_out)
    tiles = [
        np.repeat(tops, len(lefts)),
        np.tile(lefts, len(tops)),
        np.repeat(rows, len(lefts), axis=0),
        np.tile(columns, (len(tops), 1)),
    ]

    def add(out, position):
        top, left, row, column = position
        corner = (top * scale_in, left * scale_in, 0)
        size = (height * scale_in, width * scale_in, x.shape[-1])
        result = function(jax.lax.dynamic_slice(x, corner, size)).astype(jnp.float32)
        result = result * row[:, None, None] * column[:, None]
        corner = (top * scale_out, left * scale_out, 0)
        before = jax.lax.dynamic_slice(out, corner, result.shape)
        return jax.lax.dynamic_update_slice(out, before + result, corner), None

    out = jnp.zeros((sides[0] * scale_out, sides[1] * scale_out, out_channels), jnp.float32)
    return jax.lax.scan(add, out, [jnp.asarray(a) for a in tiles])[0].astype(x.dtype)


def _starts(side: int, tile: int, overlap: int) -> np.ndarray:
    """The evenly spaced starts of the tiles: neighbours overlap by `overlap` or a little more."""
    if side <= tile:
        return np.zeros(1, np.int32)
    count = math.ceil((side - overlap) / (tile - overlap))
    return np.round(np.arange(count) * (side - tile) / (count - 1)).astype(np.int32)


def _fades(starts: np.ndarray, side: int, tile: int, overlap: int, scale: int) -> np.ndarray:
    """Weights (tiles, pixels of a tile) along one axis; they sum to 1 at each of its pixels."""
    position = (np.arange(tile * scale) + 0.5) / scale
    margin = overlap / 4
    ramp = np.clip((position - margin) / (overlap - 2 * margin), 0, 1)
    weights = np.ones((len(starts), tile * scale))
    total = np.zeros(side * scale)
    for weight, start in zip(weights, starts, strict=True):
        if start > 0:
            weight *= ramp
        if start + tile < side:
            weight *= ramp[::-1]
        total[start * scale : (start + tile) * scale] += weight
    for weight, start in zip(weights, starts, strict=True):
        weight /= total[start * scale : (start + tile) * scale]
    return weights.astype(np.float32)
