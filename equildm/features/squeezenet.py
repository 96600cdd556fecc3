"""SqueezeNet 1.1, a small classifier of ImageNet."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import Image, Key
from ..nn import Conv, split_key
from .extractor import AbstractFeatureExtractor, check_rgb
from .pooling import max_pool

NO_PADDING = ((0, 0), (0, 0))
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
"""Squeezed and expanded channels of the fire modules 2 to 9. Outputs have twice the latter."""
POOLED = (2, 4)
"""Numbers of the fire modules after which the size is halved."""
CAFFE_MEANS = (103.939, 116.779, 123.68)
"""Means of blue, green and red bytes, which are subtracted from the input."""


class Fire(eqx.Module):
    """`[relu(conv1x1(s)), relu(conv3x3(s))]` with `s = relu(conv1x1(x))` of few channels."""

    squeeze: Conv
    expand1: Conv
    expand3: Conv

    def __init__(self, channels: int, squeezed: int, expanded: int, *, key: Key):
        """**Arguments:**

        - `channels`: channels of the input.
        - `squeezed`: channels between the two.
        - `expanded`: channels of each half of the output.
        - `key`: for the initial weights.
        """
        skey, key1, key3 = split_key(key, 3)
        self.squeeze = Conv(channels, squeezed, 1, key=skey)
        self.expand1 = Conv(squeezed, expanded, 1, key=key1)
        self.expand3 = Conv(squeezed, expanded, 3, key=key3)

    def __call__(
        self, x: Float[Array, "height width channels"]
    ) -> Float[Array, "height width expanded"]:
        s = jax.nn.relu(self.squeeze(x))
        return jax.nn.relu(jnp.concatenate([self.expand1(s), self.expand3(s)], axis=-1))


class SqueezeNet(AbstractFeatureExtractor):
    """SqueezeNet 1.1 (Iandola et al. 2016), 1.24M parameters, for images of 227 pixels a side.

    The taps are the maps before each halving, that of the last fire module, and that of the 1000
    classes. The mean of the last over positions is the logits: use
    `pool_features(network, images)` for `metrics.inception_score`. `interop.load_squeezenet` reads
    the ImageNet weights.
    """

    name: ClassVar[str] = "SqueezeNet"
    smallest: ClassVar[int] = 31
    channels: ClassVar[tuple[int, ...]] = (64, 128, 256, 512, 1000)
    resize: ClassVar[None] = None

    first: Conv
    fires: tuple[Fire, ...]
    classes: Conv

    def __init__(self, *, key: Key):
        """**Arguments:**

        - `key`: for the initial weights.
        """
        fkey, ckey, *keys = split_key(key, 2 + len(FIRES))
        self.first = Conv(3, 64, stride=2, padding=NO_PADDING, key=fkey)
        inputs = (64, *(2 * expanded for _, expanded in FIRES[:-1]))
        self.fires = tuple(
            Fire(channels, *sizes, key=k)
            for channels, sizes, k in zip(inputs, FIRES, keys, strict=True)
        )
        self.classes = Conv(2 * FIRES[-1][1], 1000, 1, key=ckey)

    def __call__(self, image: Image) -> tuple[Float[Array, "..."], ...]:
        check_rgb(image, self)
        means = jnp.asarray(np.array(CAFFE_MEANS, np.float32), image.dtype)
        x = ((image + 1) * 127.5)[..., ::-1] - means
        taps = [jax.nn.relu(self.first(x))]
        x = max_pool(taps[0])
        for number, fire in enumerate(self.fires, start=1):
            x = fire(x)
            if number in POOLED:
                taps.append(x)
                x = max_pool(x)
        return *taps, x, jax.nn.relu(self.classes(x))
