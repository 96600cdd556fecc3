"""CLIP's image tower, a vision transformer, and its preprocessing."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import Image, Key
from ..nn import Conv, CrossAttn, LayerNorm, Linear, split_key
from .extractor import AbstractFeatureExtractor
from .resize import antialiased_cubic, resampled

MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
"""Mean and standard deviation of the colours of CLIP's training images in [0, 1]."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CLIPImageConfig:
    """The sizes of a `CLIPImageTower`; the defaults are ViT-B/32's."""

    activation: Callable[[Array], Array]
    """Activation of the feed-forward layers."""
    side: int = 224
    """Height and width of the image."""
    patch: int = 32
    """Height and width of the patch of one token."""
    width: int = 768
    """Size of each token's vector."""
    depth: int = 12
    """Number of layers."""
    heads: int = 12
    """Heads of each attention."""
    hidden: int = 3072
    """Width of the feed-forward layers."""
    projection: int = 512
    """Size of an image's vector."""
    eps: float = 1e-5
    """Added to the variance in the norms."""
    mean: tuple[float, float, float] = MEAN
    """Subtracted from the colours in [0, 1]."""
    deviation: tuple[float, float, float] = DEVIATION
    """Divides the colours then."""

    def build(self, *, key: Key) -> "CLIPImageTower":
        """The tower with fresh weights. Under `eqx.filter_eval_shape` nothing is allocated."""
        return CLIPImageTower(self, key=key)


class CLIPImageLayer(eqx.Module):
    """`x = x + attention(norm1(x))`, then `x + W2 f(W1 norm2(x))`."""

    norm1: LayerNorm
    attention: CrossAttn
    norm2: LayerNorm
    to_hidden: Linear
    to_out: Linear
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def __init__(self, config: CLIPImageConfig, *, key: Key):
        """**Arguments:**

        - `config`: the sizes.
        - `key`: for the initial weights.
        """
        akey, hkey, okey = split_key(key, 3)
        width = config.width
        self.norm1 = LayerNorm(width, config.eps)
        self.attention = CrossAttn(width, width, config.heads, qkv_bias=True, key=akey)
        self.norm2 = LayerNorm(width, config.eps)
        self.to_hidden = Linear(width, config.hidden, key=hkey)
        self.to_out = Linear(config.hidden, width, key=okey)
        self.activation = config.activation

    def __call__(self, x: Float[Array, "tokens width"]) -> Float[Array, "tokens width"]:
        normed = self.norm1(x)
        x = x + self.attention(normed, normed)
        return x + self.to_out(self.activation(self.to_hidden(self.norm2(x))))


class CLIPImageTower(AbstractFeatureExtractor):
    """A vision transformer over patches and one class token (Radford et al. 2021, section 2.4).

    The class token's output, normed and projected, is the image's vector. Its cosine with the
    vector of a caption compares the two. As a feature extractor its one tap is that vector, as a
    map of one position.
    """

    name: ClassVar[str] = "CLIP"
    smallest: ClassVar[int] = 1
    resize: ClassVar[None] = None  # `clip_input` is part of the network

    patches: Conv
    class_token: Float[Array, "width"]
    positions: Float[Array, "tokens width"]
    norm_in: LayerNorm
    layers: tuple[CLIPImageLayer, ...]
    norm_out: LayerNorm
    projection: Linear
    config: CLIPImageConfig = eqx.field(static=True)

    def __init__(self, config: CLIPImageConfig, *, key: Key):
        """**Arguments:**

        - `config`: the sizes.
        - `key`: for the initial weights.
        """
        if config.side % config.patch:
            raise ValueError(
                f"CLIPImageTower's patch must divide its side, received patch={config.patch} and "
                f"side={config.side}."
            )
        pkey, ckey, tkey, okey, *keys = split_key(key, 4 + config.depth)
        width, tokens = config.width, (config.side // config.patch) ** 2 + 1
        none = ((0, 0), (0, 0))
        self.patches = Conv(
            3, width, config.patch, stride=config.patch, padding=none, bias=False, key=pkey
        )
        self.class_token = jax.random.normal(ckey, (width,)) / math.sqrt(width)
        self.positions = jax.random.normal(tkey, (tokens, width)) / math.sqrt(width)
        self.norm_in = LayerNorm(width, config.eps)
        self.layers = tuple(CLIPImageLayer(config, key=k) for k in keys)
        self.norm_out = LayerNorm(width, config.eps)
        self.projection = Linear(width, config.projection, bias=False, key=okey)
        self.config = config

    @property
    def channels(self) -> tuple[int, ...]:
        return (self.config.projection,)

    def __call__(self, image: Image) -> tuple[Float[Array, "..."], ...]:
        config = self.config
        pixels = clip_input(image, config.side, config.mean, config.deviation)
        return (self.vector(pixels)[None, None],)

    def vector(self, pixels: Float[Array, "side side rgb"]) -> Float[Array, "projection"]:
        """The vector of an image that `clip_input` has preprocessed."""
        side = self.config.side
        if pixels.shape != (side, side, 3):
            raise ValueError(
                f"CLIPImageTower takes shape {(side, side, 3)}, received {pixels.shape}. Give it "
                f"clip_input(image, {side})."
            )
        x = self.patches(pixels).reshape(-1, self.config.width)
        x = jnp.concatenate([self.class_token[None].astype(x.dtype), x])
        x = self.norm_in(x + self.positions.astype(x.dtype))
        for layer in self.layers:
            x = layer(x)
        return self.projection(self.norm_out(x[0]))


def clip_input(
    image: Image,
    side: int,
    mean: Sequence[float] = MEAN,
    deviation: Sequence[float] = DEVIATION,
) -> Float[Array, "side side rgb"]:
    """An image preprocessed as by `CLIPImageProcessor` of `transformers`.

    Pillow's bicubic filter on bytes resizes the shorter side to `side`, the centre is cropped, and
    the colours are normalised. Like Pillow this rounds to bytes after the width and again after the
    height. (Pillow 13 resizes the height first where it is more than twice the width.)

    **Arguments:**

    - `image`: in [-1, 1], of any size.
    - `side`: height and width afterwards.
    - `mean`, `deviation`: of each colour in [0, 1].
    """
    new = [side * n // min(image.shape[:2]) for n in image.shape[:2]]
    x = jnp.round((image.astype(jnp.float32) + 1) * 127.5)
    for axis in (1, 0):
        x = jnp.clip(jnp.round(resampled(x, axis, new[axis], antialiased_cubic)), 0, 255)
    top, left = (new[0] - side) // 2, (new[1] - side) // 2
    x = x[top : top + side, left : left + side] / 255
    return (x - np.array(mean, np.float32)) / np.array(deviation, np.float32)
