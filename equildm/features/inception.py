"""Inception-v3, the network of the Frechet inception distance and of the Inception score."""

import math
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Image, Key
from ..nn import Linear, split_key
from .extractor import AbstractFeatureExtractor
from .pooling import average_inside, average_padded, max_padded, max_pool

Pool = Callable[[Float[Array, "height width channels"]], Float[Array, "..."]]
Shape = tuple[int, int, int, int]
"""Output channels, kernel height, kernel width, stride of a convolution."""


class InceptionStyle(NamedTuple):
    """The differences between the published Inception-v3 networks.

    **Fields:**

    - `classes`: outputs of the last layer.
    - `average`: the pooling in most blocks.
    - `last`: the pooling in the last block.
    - `scale`, `offset`: the input is `scale * image + offset` of an image in [-1, 1].
    """

    classes: int
    average: Pool
    last: Pool
    scale: float
    offset: float


FID_2015 = InceptionStyle(1008, average_inside, max_padded, 127.5 / 128, -0.5 / 128)
"""TensorFlow's `inception-2015-12-05`, which FID and IS are defined with. Averages leave out the
padding, the last block takes a maximum, and the input is `(x - 128) / 128` of bytes."""

TORCHVISION = InceptionStyle(1000, average_padded, average_padded, 1.0, 0.0)
"""torchvision's `inception_v3`."""


class ConvNorm(eqx.Module):
    """A convolution, a batch norm with frozen statistics, a ReLU.

    `relu((conv(x) - mean) / sqrt(variance + 0.001) * scale + shift)`. The norm is not folded into
    the kernel, so that the arrays are those of the published files; its cost is negligible.
    """

    weight: Float[Array, "kernel_height kernel_width in_channels out_channels"]
    scale: Float[Array, "out_channels"]
    shift: Float[Array, "out_channels"]
    mean: Float[Array, "out_channels"]
    variance: Float[Array, "out_channels"]
    stride: int = eqx.field(static=True)
    padding: tuple[int, int] = eqx.field(static=True)

    def __init__(self, channels: int, shape: Shape, padding: tuple[int, int], *, key: Key):
        """**Arguments:**

        - `channels`: channels of the input.
        - `shape`: sizes of the convolution.
        - `padding`: zeros added above and below, left and right.
        - `key`: for the initial weights.
        """
        out, height, width, self.stride = shape
        deviation = math.sqrt(2 / (height * width * channels))
        self.weight = deviation * jax.random.normal(key, (height, width, channels, out))
        self.scale, self.variance = jnp.ones(out), jnp.ones(out)
        self.shift, self.mean = jnp.zeros(out), jnp.zeros(out)
        self.padding = padding

    def __call__(
        self, x: Float[Array, "height width in_channels"]
    ) -> Float[Array, "new_height new_width out_channels"]:
        y = jax.lax.conv_general_dilated(
            x[None],
            self.weight.astype(x.dtype),
            window_strides=(self.stride, self.stride),
            padding=[(side, side) for side in self.padding],
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )[0]
        factor = self.scale * jax.lax.rsqrt(self.variance + 1e-3)
        normed = (y.astype(jnp.float32) - self.mean) * factor + self.shift
        return jax.nn.relu(normed).astype(x.dtype)


class Branch(eqx.Module):
    """An optional pooling, then convolutions in sequence.

    The last `ends` of them are parallel, and their outputs are joined.
    """

    layers: tuple[ConvNorm, ...]
    pool: Pool | None = eqx.field(static=True)
    ends: int = eqx.field(static=True)

    def __init__(
        self, channels: int, *shapes: Shape, pool: Pool | None = None, ends: int = 0, key: Key
    ):
        """**Arguments:**

        - `channels`: channels of the input.
        - `shapes`: sizes of the convolutions, padded to keep the size unless they have a stride.
        - `pool`: the pooling in front, if any.
        - `ends`: number of parallel convolutions at the end.
        - `key`: for the initial weights.
        """
        layers = []
        for i, (shape, k) in enumerate(zip(shapes, split_key(key, len(shapes) or 1))):
            _, height, width, stride = shape
            padding = (0, 0) if stride > 1 else (height // 2, width // 2)
            layers.append(ConvNorm(channels, shape, padding, key=k))
            if i < len(shapes) - ends:
                channels = shape[0]
        self.layers = tuple(layers)
        self.pool = pool
        self.ends = ends

    def __call__(self, x: Float[Array, "height width channels"]) -> Float[Array, "..."]:
        x = x if self.pool is None else self.pool(x)
        trunk = len(self.layers) - self.ends
        for layer in self.layers[:trunk]:
            x = layer(x)
        parts = [layer(x) for layer in self.layers[trunk:]]
        return jnp.concatenate(parts, axis=-1) if parts else x


Block = tuple[Branch, ...]
"""Branches whose outputs are joined."""


class InceptionV3(AbstractFeatureExtractor):
    """Inception-v3 (Szegedy et al. 2015), batch norms frozen, without the auxiliary classifier.

    Taps: after the two poolings of the stem, after `Mixed_6e` and after `Mixed_7c`. FID uses the
    mean of the last, 2048 numbers. `interop.load_inception` reads trained weights; the
    trained network expects 299x299: `Resized(network, tf1_bilinear())`.
    """

    channels: ClassVar[tuple[int, ...]] = (64, 192, 768, 2048)
    smallest: ClassVar[int] = 75
    resize: ClassVar[None] = None

    stem: tuple[ConvNorm, ...]
    blocks: tuple[Block, ...]
    head: Linear
    style: InceptionStyle = eqx.field(static=True)
    label: str = eqx.field(static=True)

    def __init__(self, style: InceptionStyle = FID_2015, *, name: str = "Inception", key: Key):
        """**Arguments:**

        - `style`: one of the published networks.
        - `name`: its name in those of scores.
        - `key`: for the initial weights.
        """
        skey, bkey, hkey = split_key(key, 3)
        stem, widths = [], (3, 32, 32, 64, 80)
        shapes = ((32, 3, 3, 2), (32, 3, 3, 1), (64, 3, 3, 1), (80, 1, 1, 1), (192, 3, 3, 1))
        for i, (width, shape, k) in enumerate(zip(widths, shapes, split_key(skey, 5))):
            stem.append(ConvNorm(width, shape, (1, 1) if i == 2 else (0, 0), key=k))
        self.stem = tuple(stem)
        self.blocks = _blocks(style, bkey)
        self.head = Linear(2048, style.classes, key=hkey)
        self.style = style
        self.label = name

    @property
    def name(self) -> str:
        return self.label

    def __call__(self, image: Image) -> tuple[Float[Array, "..."], ...]:
        if image.shape[-1] != 3 or min(image.shape[:2]) < self.smallest:
            raise ValueError(
                f"Inception-v3 takes an RGB image of at least {self.smallest} pixels a side, "
                f"received shape {image.shape}. Use Resized(network, tf1_bilinear())."
            )
        x = image * self.style.scale + self.style.offset
        taps = []
        for part in (self.stem[:3], self.stem[3:]):
            for layer in part:
                x = layer(x)
            x = max_pool(x)
            taps.append(x)
        for blocks in (self.blocks[:8], self.blocks[8:]):
            for block in blocks:
                x = jnp.concatenate([branch(x) for branch in block], axis=-1)
            taps.append(x)
        return tuple(taps)

    def logits(self, features: Float[Array, "*batch 2048"]) -> Float[Array, "*batch classes"]:
        """The logits of the classes, from the mean of the last tap.

        For the network of 2015 they are without bias: the first code of the Inception score left it
        out, and all others follow it. `head(features)` includes the bias.
        """
        if self.style.classes == FID_2015.classes:
            return features @ self.head.weight.astype(features.dtype)
        return self.head(features)


def _blocks(style: InceptionStyle, key: Key) -> tuple[Block, ...]:
    """The eleven "Mixed" blocks, by their names in the paper's code 5b to 7c."""
    keys = iter(split_key(key, 48))

    def branch(channels: int, *shapes: Shape, pool: Pool | None = None, ends: int = 0) -> Branch:
        return Branch(channels, *shapes, pool=pool, ends=ends, key=next(keys))

    def a(c: int, pooled: int) -> Block:
        return (
            branch(c, (64, 1, 1, 1)),
            branch(c, (48, 1, 1, 1), (64, 5, 5, 1)),
            branch(c, (64, 1, 1, 1), (96, 3, 3, 1), (96, 3, 3, 1)),
            branch(c, (pooled, 1, 1, 1), pool=style.average),
        )

    def c(w: int) -> Block:
        return (
            branch(768, (192, 1, 1, 1)),
            branch(768, (w, 1, 1, 1), (w, 1, 7, 1), (192, 7, 1, 1)),
            branch(768, (w, 1, 1, 1), (w, 7, 1, 1), (w, 1, 7, 1), (w, 7, 1, 1), (192, 1, 7, 1)),
            branch(768, (192, 1, 1, 1), pool=style.average),
        )

    def e(c: int, pool: Pool) -> Block:
        ends: tuple[Shape, Shape] = ((384, 1, 3, 1), (384, 3, 1, 1))
        return (
            branch(c, (320, 1, 1, 1)),
            branch(c, (384, 1, 1, 1), *ends, ends=2),
            branch(c, (448, 1, 1, 1), (384, 3, 3, 1), *ends, ends=2),
            branch(c, (192, 1, 1, 1), pool=pool),
        )

    b = (
        branch(288, (384, 3, 3, 2)),
        branch(288, (64, 1, 1, 1), (96, 3, 3, 1), (96, 3, 3, 2)),
        branch(288, pool=max_pool),
    )
    d = (
        branch(768, (192, 1, 1, 1), (320, 3, 3, 2)),
        branch(768, (192, 1, 1, 1), (192, 1, 7, 1), (192, 7, 1, 1), (192, 3, 3, 2)),
        branch(768, pool=max_pool),
    )
    return (
        *(a(192, 32), a(256, 64), a(288, 64), b),
        *(c(128), c(160), c(160), c(192), d),
        *(e(1280, style.average), e(2048, style.last)),
    )
