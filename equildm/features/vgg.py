"""VGG16's convolutions."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Image, Key
from ..nn import Conv, split_key
from .extractor import AbstractFeatureExtractor, imagenet_input

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and convolutions of each block (Simonyan & Zisserman 2015, configuration D)."""


class VGG16(AbstractFeatureExtractor):
    """Five blocks of 3x3 convolutions with ReLU, halved in size between blocks.

    The taps are the last ReLU of each block, relu1_2, 2_2, 3_3, 4_3 and 5_3: LPIPS's.
    `interop.load_vgg16` reads the ImageNet weights.
    """

    name: ClassVar[str] = "VGG16"
    smallest: ClassVar[int] = 16
    channels: ClassVar[tuple[int, ...]] = tuple(channels for channels, _ in BLOCKS)
    resize: ClassVar[None] = None

    convs: tuple[Conv, ...]

    def __init__(self, *, key: Key):
        """**Arguments:**

        - `key`: for the initial weights.
        """
        widths = [channels for channels, depth in BLOCKS for _ in range(depth)]
        keys = split_key(key, len(widths))
        self.convs = tuple(
            Conv(into, out, key=k)
            for into, out, k in zip([3, *widths[:-1]], widths, keys, strict=True)
        )

    def __call__(self, image: Image) -> tuple[Float[Array, "..."], ...]:
        x = imagenet_input(image, self)
        convs = iter(self.convs)
        taps: list[Array] = []
        for _, depth in BLOCKS:
            if taps:
                x = _halve(x)
            for _ in range(depth):
                x = jax.nn.relu(next(convs)(x))
            taps.append(x)
        return tuple(taps)


def _halve(x: Float[Array, "height width channels"]) -> Float[Array, "half_h half_w channels"]:
    """Max-pooling 2x2; an odd last row or column is left out.

    It is a maximum over axes, because the gradient of `reduce_window` is slow on a CPU.
    """
    height, width, channels = (x.shape[0] // 2, x.shape[1] // 2, x.shape[2])
    even = x[: 2 * height, : 2 * width]
    return jnp.max(even.reshape(height, 2, width, 2, channels), axis=(1, 3))
