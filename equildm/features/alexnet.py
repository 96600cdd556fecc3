"""AlexNet's convolutions."""

from typing import ClassVar

import jax
from jaxtyping import Array, Float

from .._types import Image, Key
from ..nn import Conv, split_key
from .extractor import AbstractFeatureExtractor, imagenet_input
from .pooling import max_pool


class AlexNet(AbstractFeatureExtractor):
    """The one-tower AlexNet (Krizhevsky 2014), five convolutions with ReLU, each a tap.

    Max-pooling 3x3 with stride 2 comes after the first and the second.
    `interop.load_alexnet` reads the ImageNet weights.
    """

    name: ClassVar[str] = "AlexNet"
    smallest: ClassVar[int] = 31
    channels: ClassVar[tuple[int, ...]] = (64, 192, 384, 256, 256)
    resize: ClassVar[None] = None

    convs: tuple[Conv, ...]

    def __init__(self, *, key: Key):
        """**Arguments:**

        - `key`: for the initial weights.
        """
        k1, k2, k3, k4, k5 = split_key(key, 5)
        self.convs = (
            Conv(3, 64, 11, stride=4, padding=((2, 2), (2, 2)), key=k1),
            Conv(64, 192, 5, key=k2),
            Conv(192, 384, 3, key=k3),
            Conv(384, 256, 3, key=k4),
            Conv(256, 256, 3, key=k5),
        )

    def __call__(self, image: Image) -> tuple[Float[Array, "..."], ...]:
        x = imagenet_input(image, self)
        taps = []
        for i, conv in enumerate(self.convs):
            if i in (1, 2):
                x = max_pool(x)
            x = jax.nn.relu(conv(x))
            taps.append(x)
        return tuple(taps)
