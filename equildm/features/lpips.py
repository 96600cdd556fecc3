"""LPIPS, the learned perceptual distance between two images."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Image
from .extractor import AbstractFeatureExtractor


class LPIPS(eqx.Module):
    """How different two images look (Zhang et al. 2018, equation 1).

    `d(a, b) = sum_taps mean_positions sum_c w_c (f_c(a) / |f(a)| - f_c(b) / |f(b)|)^2`, where `|.|`
    is over the channels of one position. 0 for equal images, about 0.1 for slight changes, 0.7
    for unrelated photographs. `interop.load_lpips` reads the trained weights.

    All arrays are leaves like any module's; a loss closes over the module to keep it frozen.
    """

    backbone: AbstractFeatureExtractor
    heads: tuple[Float[Array, "channels"], ...]

    def __init__(
        self, backbone: AbstractFeatureExtractor, heads: Sequence[Float[Array, "channels"]]
    ):
        """**Arguments:**

        - `backbone`: the network of the taps.
        - `heads`: for each tap one weight a channel, none negative.
        """
        sizes = tuple(head.shape[0] for head in heads)
        if sizes != backbone.channels:
            raise ValueError(
                f"LPIPS takes a head for each tap of {backbone.name}, sizes {backbone.channels}, "
                f"received {sizes}."
            )
        self.backbone = backbone
        self.heads = tuple(jnp.asarray(head) for head in heads)

    def __call__(self, a: Image, b: Image) -> Float[Array, ""]:
        """The distance of two images of one size, in [-1, 1]."""
        if a.shape != b.shape:
            raise ValueError(f"LPIPS takes images of one size, received {a.shape} and {b.shape}.")
        total = jnp.zeros(())
        for head, in_a, in_b in zip(self.heads, self.backbone(a), self.backbone(b), strict=True):
            difference = (_directions(in_a) - _directions(in_b)) ** 2
            total = total + jnp.mean(difference @ head)
        return total


def _directions(
    maps: Float[Array, "height width channels"],
) -> Float[Array, "height width channels"]:
    """Each position's features at unit length, float32; zero stays zero.

    After a ReLU all channels of a position can be zero, where the gradient of the square root is
    infinite. The length of such a position is set to 1.
    """
    maps = maps.astype(jnp.float32)
    square = jnp.sum(maps * maps, axis=-1, keepdims=True)
    length = jnp.sqrt(jnp.where(square > 0, square, 1.0))
    return maps / (length + 1e-10)
