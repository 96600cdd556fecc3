"""BERT, the encoder behind MiniLM."""

import dataclasses
import math

import equinox as eqx
import jax
from jaxtyping import Array, Bool, Float, Int

from .._types import Key
from ..nn import CrossAttn, LayerNorm, Linear, split_key
from ..nn._init import uniform


@dataclasses.dataclass(frozen=True)
class BertConfig:
    """The sizes of a `Bert`, as plain values."""

    vocabulary: int
    """Number of token ids."""
    width: int
    """Size of each token's vector."""
    depth: int
    """Number of layers."""
    heads: int
    """Heads of each attention."""
    hidden: int | None = None
    """Width of the feed-forward layers, by default `4 * width`."""
    longest: int = 512
    """The most tokens a caption may have."""
    eps: float = 1e-12
    """Epsilon of the norms."""

    def build(self, *, key: Key) -> "Bert":
        """The network with fresh weights. Under `eqx.filter_eval_shape` nothing is allocated."""
        return Bert(**dataclasses.asdict(self), key=key)


class BertLayer(eqx.Module):
    """`x = norm1(x + attention(x))`, then `norm2(x + W2 gelu(W1 x))`.

    The norms come after the sums, as in the original transformer (Vaswani et al. 2017).
    """

    attention: CrossAttn
    norm1: LayerNorm
    to_hidden: Linear
    to_out: Linear
    norm2: LayerNorm

    def __init__(self, width: int, hidden: int, heads: int, *, eps: float = 1e-12, key: Key):
        """**Arguments:**

        - `width`: size of a token's vector.
        - `hidden`: width of the feed-forward layer.
        - `heads`: heads of the attention.
        - `eps`: epsilon of the norms.
        - `key`: for the initial weights.
        """
        akey, hkey, okey = split_key(key, 3)
        self.attention = CrossAttn(width, width, heads, qkv_bias=True, key=akey)
        self.norm1 = LayerNorm(width, eps)
        self.to_hidden = Linear(width, hidden, key=hkey)
        self.to_out = Linear(hidden, width, key=okey)
        self.norm2 = LayerNorm(width, eps)

    def __call__(
        self, x: Float[Array, "tokens width"], mask: Bool[Array, "tokens"]
    ) -> Float[Array, "tokens width"]:
        x = self.norm1(x + self.attention(x, x, mask))
        return self.norm2(x + self.to_out(jax.nn.gelu(self.to_hidden(x), approximate=False)))


class Bert(eqx.Module):
    """A bidirectional transformer over token ids (Devlin et al. 2019).

    The sum of word, position and segment embeddings is normalised and passes the layers. A caption
    is segment 0; the table has both rows, so that pretrained weights fit.
    """

    words: Float[Array, "vocabulary width"]
    positions: Float[Array, "longest width"]
    segments: Float[Array, "2 width"]
    norm: LayerNorm
    layers: tuple[BertLayer, ...]

    def __init__(
        self,
        vocabulary: int,
        width: int,
        depth: int,
        heads: int,
        *,
        hidden: int | None = None,
        longest: int = 512,
        eps: float = 1e-12,
        key: Key,
    ):
        """**Arguments:**

        - `vocabulary`: number of token ids.
        - `width`, `depth`, `heads`: size of a token's vector, number of layers, heads of each
            attention.
        - `hidden`: width of the feed-forward layers, by default `4 * width`.
        - `longest`: the most tokens a caption may have.
        - `eps`: epsilon of the norms.
        - `key`: for the initial weights.
        """
        wkey, pkey, skey, *keys = split_key(key, 3 + depth)
        bound = 0.02 * math.sqrt(3.0)  # BERT's standard deviation of 0.02, drawn uniformly.
        self.words = uniform(wkey, (vocabulary, width), bound)
        self.positions = uniform(pkey, (longest, width), bound)
        self.segments = uniform(skey, (2, width), bound)
        self.norm = LayerNorm(width, eps)
        hidden = 4 * width if hidden is None else hidden
        self.layers = tuple(BertLayer(width, hidden, heads, eps=eps, key=k) for k in keys)

    def __call__(
        self, ids: Int[Array, "tokens"], mask: Bool[Array, "tokens"]
    ) -> Float[Array, "tokens width"]:
        """The last layer's tokens. Tokens where `mask` is false are padding without a meaning."""
        (tokens,) = ids.shape
        if tokens > self.positions.shape[0]:
            raise ValueError(
                f"Bert has positions for {self.positions.shape[0]} tokens, received {tokens}. "
                "Cut the captions to a shorter length."
            )
        x = self.norm(self.words[ids] + self.positions[:tokens] + self.segments[0])
        for layer in self.layers:
            x = layer(x, mask)
        return x
