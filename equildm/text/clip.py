"""CLIP's text tower, the encoder of Stable Diffusion."""

import dataclasses
import math
from collections.abc import Callable
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._types import Key, TextEmbedding
from ..nn import CrossAttn, LayerNorm, Linear, split_key
from ..nn._init import uniform
from .attention import causal_attend
from .encoder import AbstractTextEncoder
from .tokenizer import AbstractTokenizer


def quick_gelu(x: Float[Array, "*rest"]) -> Float[Array, "*rest"]:
    """`x sigmoid(1.702 x)`, the approximation of GELU with which OpenAI trained CLIP."""
    return x * jax.nn.sigmoid(1.702 * x)


def gelu(x: Float[Array, "*rest"]) -> Float[Array, "*rest"]:
    """`x Phi(x)` with the error function, as in OpenCLIP."""
    return jax.nn.gelu(x, approximate=False)


ACTIVATIONS = {"quick_gelu": quick_gelu, "gelu": gelu}


@dataclasses.dataclass(frozen=True)
class CLIPConfig:
    """The sizes of a `CLIPTextTower`; the defaults are ViT-L/14's, that of Stable Diffusion 1.

    Stable Diffusion 2's, OpenCLIP ViT-H/14, is `CLIPConfig(width=1024, depth=24, heads=16,
    activation="gelu")`.
    """

    vocabulary: int = 49408
    """Number of token ids."""
    width: int = 768
    """Size of each token's vector."""
    depth: int = 12
    """Number of layers."""
    heads: int = 12
    """Heads of each attention."""
    hidden: int | None = None
    """Width of the feed-forward layers, by default `4 * width`."""
    longest: int = 77
    """The most tokens a caption may have."""
    activation: Literal["quick_gelu", "gelu"] = "quick_gelu"
    """Activation of the feed-forward layers."""
    eps: float = 1e-5
    """Epsilon of the norms."""
    prefix: str = "text_model."
    """Prefix of the tensors' names in a file; version 5 of transformers writes none."""

    def build(self, *, key: Key) -> "CLIPTextTower":
        """The tower with fresh weights. Under `eqx.filter_eval_shape` nothing is allocated."""
        return CLIPTextTower(self, key=key)


class CLIPLayer(eqx.Module):
    """`x = x + attention(norm1(x))`, then `x + W2 f(W1 norm2(x))`, the attention causal."""

    norm1: LayerNorm
    attention: CrossAttn
    norm2: LayerNorm
    to_hidden: Linear
    to_out: Linear
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def __init__(self, config: CLIPConfig, *, key: Key):
        """**Arguments:**

        - `config`: the sizes.
        - `key`: for the initial weights.
        """
        akey, hkey, okey = split_key(key, 3)
        width = config.width
        hidden = 4 * width if config.hidden is None else config.hidden
        self.norm1 = LayerNorm(width, config.eps)
        self.attention = CrossAttn(
            width, width, config.heads, qkv_bias=True, attend=causal_attend, key=akey
        )
        self.norm2 = LayerNorm(width, config.eps)
        self.to_hidden = Linear(width, hidden, key=hkey)
        self.to_out = Linear(hidden, width, key=okey)
        self.activation = ACTIVATIONS[config.activation]

    def __call__(
        self, x: Float[Array, "tokens width"], mask: Bool[Array, "tokens"] | None = None
    ) -> Float[Array, "tokens width"]:
        normed = self.norm1(x)
        x = x + self.attention(normed, normed, mask)
        return x + self.to_out(self.activation(self.to_hidden(self.norm2(x))))


class CLIPTextTower(eqx.Module):
    """A causal transformer over token ids (Radford et al. 2021, section 2.4).

    The sum of token and position embeddings passes the layers, then a norm.
    """

    words: Float[Array, "vocabulary width"]
    positions: Float[Array, "longest width"]
    layers: tuple[CLIPLayer, ...]
    norm: LayerNorm
    config: CLIPConfig = eqx.field(static=True)

    def __init__(self, config: CLIPConfig, *, key: Key):
        """**Arguments:**

        - `config`: the sizes.
        - `key`: for the initial weights.
        """
        wkey, pkey, *keys = split_key(key, 2 + config.depth)
        # CLIP's standard deviations of 0.02 and 0.01, drawn uniformly.
        self.words = uniform(wkey, (config.vocabulary, config.width), 0.02 * math.sqrt(3.0))
        self.positions = uniform(pkey, (config.longest, config.width), 0.01 * math.sqrt(3.0))
        self.layers = tuple(CLIPLayer(config, key=k) for k in keys)
        self.norm = LayerNorm(config.width, config.eps)
        self.config = config

    def __call__(
        self,
        ids: Int[Array, "tokens"],
        mask: Bool[Array, "tokens"] | None = None,
        *,
        skip: int = 0,
        normed: bool = True,
    ) -> Float[Array, "tokens width"]:
        """The output of the last layer but `skip`.

        **Arguments:**

        - `ids`: the token ids of a caption.
        - `mask`: true for the tokens that attention reads, by default all.
        - `skip`: number of last layers to leave out; 1 gives the penultimate layer, as in Stable
            Diffusion 2. diffusers calls it `clip_skip`.
        - `normed`: whether the last norm follows.
        """
        (tokens,) = ids.shape
        if tokens > self.positions.shape[0]:
            raise ValueError(
                f"CLIPTextTower has positions for {self.positions.shape[0]} tokens, received "
                f"{tokens}. Cut the captions to a shorter length."
            )
        x = self.words[ids] + self.positions[:tokens]
        for layer in self.layers[: len(self.layers) - skip]:
            x = layer(x, mask)
        return self.norm(x) if normed else x


class CLIPText(AbstractTextEncoder):
    """A `CLIPTextTower` with its tokenizer. `interop.load_text_encoder` reads a pretrained one.

    Stable Diffusion masks the padding neither in the tower nor in its UNet: both attend to all 77
    tokens, and the weights were trained so. By default the embedding's mask is therefore all true.
    A network that is trained here can attend to the real tokens alone: `padding=False`.
    """

    tower: CLIPTextTower
    tokenizer: AbstractTokenizer = eqx.field(static=True)
    width: int = eqx.field(static=True)
    max_tokens: int = eqx.field(static=True)
    skip: int = eqx.field(static=True)
    padding: bool = eqx.field(static=True)

    def __init__(
        self,
        tower: CLIPTextTower,
        tokenizer: AbstractTokenizer,
        max_tokens: int = 77,
        *,
        skip: int = 0,
        padding: bool = True,
    ):
        """**Arguments:**

        - `tower`: the network.
        - `tokenizer`: the one that the tower was trained with.
        - `max_tokens`: tokens a caption is padded or cut to, its opening and closing one included.
        - `skip`: number of last layers to leave out, see `CLIPTextTower`.
        - `padding`: whether padding counts as part of the caption, in the tower and in the mask of
            the embedding.
        """
        longest, depth = tower.config.longest, len(tower.layers)
        if not 2 <= max_tokens <= longest:
            raise ValueError(
                f"CLIPText's max_tokens must be from 2 (an opening and a closing token) to "
                f"{longest} (its positions), received {max_tokens}."
            )
        if not 0 <= skip < depth:
            raise ValueError(
                f"CLIPText's skip must be from 0 to {depth - 1}, one less than its layers, "
                f"received {skip}."
            )
        self.tower = tower
        self.tokenizer = tokenizer
        self.width = tower.config.width
        self.max_tokens = max_tokens
        self.skip = skip
        self.padding = padding

    def __call__(self, ids: Int[Array, "tokens"], mask: Bool[Array, "tokens"]) -> TextEmbedding:
        if not self.padding:
            return TextEmbedding(self.tower(ids, mask, skip=self.skip), mask)
        return TextEmbedding(self.tower(ids, skip=self.skip), jnp.ones_like(mask))
