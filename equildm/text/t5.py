"""T5's encoder (Raffel et al. 2020), versions 1.0 and 1.1."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._types import Key, TextEmbedding
from ..nn._init import uniform
from .encoder import AbstractTextEncoder
from .t5_layer import GatedFeedForward, ReLUFeedForward, RMSNorm, T5Layer
from .tokenizer import AbstractTokenizer, TokenBatch

FEED_FORWARDS: dict[str, Callable[..., Callable[[Array], Array]]] = {
    "relu": ReLUFeedForward,
    "gated-gelu": GatedFeedForward,
}


@dataclasses.dataclass(frozen=True)
class T5Config:
    """The sizes of a `T5Encoder`; the defaults are T5-small's."""

    vocabulary: int = 32128
    """How many token ids there are."""
    width: int = 512
    """Size of each token's vector."""
    depth: int = 6
    """Layers."""
    heads: int = 8
    """Heads of each attention."""
    head_width: int = 64
    """Width of each head; `heads * head_width` need not be `width`."""
    hidden: int = 2048
    """Width of the feed-forward layers."""
    feed_forward: Literal["relu", "gated-gelu"] = "relu"
    """`"relu"` in version 1.0, `"gated-gelu"` in 1.1."""
    buckets: int = 32
    """Kinds of relative position, half of them for each direction."""
    distance: int = 128
    """From this distance on all positions are of one kind."""
    eps: float = 1e-6
    """Of the norms."""

    def build(self, *, key: Key) -> "T5Encoder":
        """The encoder with fresh weights. Under `eqx.filter_eval_shape` nothing is allocated."""
        return T5Encoder(self, key=key)


class T5Encoder(eqx.Module):
    """A bidirectional transformer over token ids without positions of its own.

    Instead, each head's scores get a bias for the kind of the relative position of query and key,
    the same in every layer. There is no longest caption.
    """

    words: Float[Array, "vocabulary width"]
    bias: Float[Array, "buckets heads"]
    layers: tuple[T5Layer, ...]
    norm: RMSNorm
    config: T5Config = eqx.field(static=True)

    def __init__(self, config: T5Config, *, key: Key):
        """**Arguments:**

        - `config`: the sizes.
        - `key`: for the initial weights.
        """
        wkey, bkey, *keys = jax.random.split(key, 2 + config.depth)
        self.words = uniform(wkey, (config.vocabulary, config.width), math.sqrt(3.0))
        self.bias = uniform(bkey, (config.buckets, config.heads), math.sqrt(3.0 / config.width))
        make = partial(FEED_FORWARDS[config.feed_forward], hidden=config.hidden)
        self.layers = tuple(
            T5Layer(
                config.width,
                config.heads,
                config.head_width,
                feed_forward=make,
                eps=config.eps,
                key=k,
            )
            for k in keys
        )
        self.norm = RMSNorm(config.width, config.eps)
        self.config = config

    def __call__(
        self, ids: Int[Array, "tokens"], mask: Bool[Array, "tokens"]
    ) -> Float[Array, "tokens width"]:
        """The last layer's tokens. Where `mask` is false they mean nothing: nobody may attend to
        them."""
        (tokens,) = ids.shape
        kinds = relative_buckets(tokens, self.config.buckets, self.config.distance)
        bias = jnp.moveaxis(self.bias[kinds], -1, 0)
        x = self.words[ids]
        for layer in self.layers:
            x = layer(x, bias, mask)
        return self.norm(x)


class T5Text(AbstractTextEncoder):
    """A `T5Encoder` with its tokenizer. `interop.load_text_encoder` reads a pretrained one.

    Its larger members overflow in float16: take bfloat16 or float32.
    """

    t5: T5Encoder
    tokenizer: AbstractTokenizer = eqx.field(static=True)
    width: int = eqx.field(static=True)
    length: int = eqx.field(static=True)

    def __init__(self, t5: T5Encoder, tokenizer: AbstractTokenizer, length: int = 77):
        """**Arguments:**

        - `t5`: the network.
        - `tokenizer`: the one it was trained with.
        - `length`: tokens a caption is padded or cut to, its closing one included.
        """
        if length < 1:
            raise ValueError(f"T5Text's length must be at least 1, received {length}.")
        self.t5 = t5
        self.tokenizer = tokenizer
        self.width = t5.config.width
        self.length = length

    def tokenize(self, captions: Sequence[str]) -> TokenBatch:
        return self.tokenizer(captions, self.length)

    def __call__(self, ids: Int[Array, "tokens"], mask: Bool[Array, "tokens"]) -> TextEmbedding:
        return TextEmbedding(self.t5(ids, mask), mask)


def relative_buckets(tokens: int, buckets: int, distance: int) -> Int[np.ndarray, "tokens tokens"]:
    """The kind of every pair (query, key): Raffel et al. 2020, section 2.1.

    Half the kinds are for keys after the query. Of each half, half are for one distance each, the
    others for ranges that grow logarithmically up to `distance`.
    """
    if buckets < 4 or distance <= buckets // 4:
        raise ValueError(
            "T5 needs at least 4 buckets and a distance above a quarter of them, received "
            f"buckets={buckets} and distance={distance}."
        )
    relative = np.arange(tokens)[None, :] - np.arange(tokens)[:, None]
    half = buckets // 2
    exact = half // 2
    # float32 as in the original, for some distances lie on the border of two kinds.
    far = np.log(np.maximum(np.abs(relative), 1).astype(np.float32) / exact)
    far = exact + (far / np.float32(math.log(distance / exact)) * (half - exact)).astype(np.int64)
    near = np.where(np.abs(relative) < exact, np.abs(relative), np.minimum(far, half - 1))
    return near + np.where(relative > 0, half, 0)
