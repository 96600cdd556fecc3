"""T5's encoder (Raffel et al. 2020), versions 1.0 and 1.1."""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._types import Key, TextEmbedding
from ..nn import split_key
from ..nn._init import uniform
from .encoder import AbstractTextEncoder
from .t5_layer import GatedFeedForward, ReLUFeedForward, RMSNorm, T5Layer
from .tokenizer import AbstractTokenizer

FEED_FORWARDS: dict[str, Callable[..., Callable[[Array], Array]]] = {
    "relu": ReLUFeedForward,
    "gated-gelu": GatedFeedForward,
}


@dataclasses.dataclass(frozen=True)
class T5Config:
    """The sizes of a `T5Encoder`; the defaults are T5-small's."""

    vocabulary: int = 32128
    """Number of token ids."""
    width: int = 512
    """Size of each token's vector."""
    depth: int = 6
    """Number of layers."""
    heads: int = 8
    """Heads of each attention."""
    head_width: int = 64
    """Width of each head; `heads * head_width` can differ from `width`."""
    hidden: int = 2048
    """Width of the feed-forward layers."""
    feed_forward: Literal["relu", "gated-gelu"] = "relu"
    """`"relu"` in version 1.0, `"gated-gelu"` in 1.1."""
    buckets: int = 32
    """Number of kinds of relative position, half of them for each direction."""
    distance: int = 128
    """All positions from this distance on are of one kind."""
    eps: float = 1e-6
    """Epsilon of the norms."""

    def build(self, *, key: Key) -> "T5Encoder":
        """The encoder with fresh weights. Under `eqx.filter_eval_shape` nothing is allocated."""
        return T5Encoder(self, key=key)


class T5Encoder(eqx.Module):
    """A bidirectional transformer over token ids, without embeddings of the position.

    Instead, each head's scores get a bias for the kind of the relative position of query and key,
    the same in every layer. Captions can be of any length.
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
        wkey, bkey, *keys = split_key(key, 2 + config.depth)
        self.words = uniform(wkey, (config.vocabulary, config.width), math.sqrt(3.0))
        self.bias = uniform(bkey, (config.buckets, config.heads), math.sqrt(3.0 / config.width))
        feed_forward = partial(FEED_FORWARDS[config.feed_forward], hidden=config.hidden)
        self.layers = tuple(
            T5Layer(
                config.width,
                config.heads,
                config.head_width,
                feed_forward=feed_forward,
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
        """The last layer's tokens. Tokens where `mask` is false are padding without a meaning."""
        (tokens,) = ids.shape
        kinds = relative_buckets(tokens, self.config.buckets, self.config.distance)
        bias = jnp.moveaxis(self.bias[kinds], -1, 0)
        x = self.words[ids]
        for layer in self.layers:
            x = layer(x, bias, mask)
        return self.norm(x)


class T5Text(AbstractTextEncoder):
    """A `T5Encoder` with its tokenizer. `interop.load_text_encoder` reads a pretrained one.

    The larger ones overflow in float16: use bfloat16 or float32.
    """

    t5: T5Encoder
    tokenizer: AbstractTokenizer = eqx.field(static=True)
    width: int = eqx.field(static=True)
    max_tokens: int = eqx.field(static=True)

    def __init__(self, t5: T5Encoder, tokenizer: AbstractTokenizer, max_tokens: int = 77):
        """**Arguments:**

        - `t5`: the network.
        - `tokenizer`: the one that the network was trained with.
        - `max_tokens`: tokens a caption is padded or cut to, its closing one included.
        """
        if max_tokens < 1:
            raise ValueError(f"T5Text's max_tokens must be at least 1, received {max_tokens}.")
        self.t5 = t5
        self.tokenizer = tokenizer
        self.width = t5.config.width
        self.max_tokens = max_tokens

    def __call__(self, ids: Int[Array, "tokens"], mask: Bool[Array, "tokens"]) -> TextEmbedding:
        return TextEmbedding(self.t5(ids, mask), mask)


def relative_buckets(tokens: int, buckets: int, distance: int) -> Int[np.ndarray, "tokens tokens"]:
    """The kind of relative position of every pair (query, key): Raffel et al. 2020, section 2.1.

    Half the kinds are for keys after the query. Half of either half are for one distance each, the
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
    # float32 as in the original: some distances lie on the border of two kinds.
    far = np.log(np.maximum(np.abs(relative), 1).astype(np.float32) / exact)
    far = exact + (far / np.float32(math.log(distance / exact)) * (half - exact)).astype(np.int64)
    near = np.where(np.abs(relative) < exact, np.abs(relative), np.minimum(far, half - 1))
    return near + np.where(relative > 0, half, 0)
