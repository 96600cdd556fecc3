"""Halving and doubling the size of an image inside a network."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Key
from .block_stack import AbstractBlock
from .conv import Conv, Padding


class Downsample(AbstractBlock):
    """A 3x3 convolution with stride 2."""

    conv: Conv

    def __init__(self, channels: int, *, padding: Padding = ((1, 1), (1, 1)), key: Key):
        """**Arguments:**

        - `channels`: size of the last axis, in and out.
        - `padding`: Stable Diffusion's UNet pads each side by one, its VAE `((0, 1), (0, 1))`.
        - `key`: for the initial weights.
        """
        self.conv = Conv(channels, channels, stride=2, padding=padding, key=key)

    def __call__(
        self, x: Float[Array, "height width channels"]
    ) -> Float[Array, "half_height half_width channels"]:
        if x.shape[0] % 2 or x.shape[1] % 2:
            raise ValueError(
                f"Downsample halves height and width, which must be even, received {x.shape[:2]}. "
                "The size of the input must divide by 2 for each level."
            )
        return self.conv(x)


class Upsample(AbstractBlock):
    """Repeats every pixel in both directions, then applies a 3x3 convolution."""

    conv: Conv

    def __init__(self, channels: int, *, key: Key):
        """**Arguments:**

        - `channels`: size of the last axis, in and out.
        - `key`: for the initial weights.
        """
        self.conv = Conv(channels, channels, key=key)

    def __call__(
        self, x: Float[Array, "height width channels"]
    ) -> Float[Array, "twice_height twice_width channels"]:
        height, width, channels = x.shape
        doubled = jnp.broadcast_to(x[:, None, :, None], (height, 2, width, 2, channels))
        return self.conv(doubled.reshape(2 * height, 2 * width, channels))
