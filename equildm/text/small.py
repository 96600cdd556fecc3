"""A small text encoder to train together with the network that reads it."""

from collections.abc import Sequence

import equinox as eqx
from jaxtyping import Array, Bool, Int

from .._types import Key, TextEmbedding
from .bert import Bert
from .encoder import AbstractTextEncoder
from .tokenizer import ByteTokenizer, TokenBatch


class SmallTextEncoder(AbstractTextEncoder):
    """A BERT over UTF-8 bytes: no vocabulary, no pretrained weights, any language.

    For tests and for training from captions end to end.
    """

    bert: Bert
    tokenizer: ByteTokenizer = eqx.field(static=True)
    width: int = eqx.field(static=True)
    length: int = eqx.field(static=True)

    def __init__(
        self, width: int = 64, depth: int = 2, heads: int = 4, length: int = 48, *, key: Key
    ):
        """**Arguments:**

        - `width`, `depth`, `heads`: of the tokens, in layers, of each attention.
        - `length`: bytes a caption is padded or cut to, one opening token included.
        - `key`: for the initial weights.
        """
        if length < 1:
            raise ValueError(f"SmallTextEncoder's length must be at least 1, received {length}.")
        self.tokenizer = ByteTokenizer()
        self.bert = Bert(self.tokenizer.vocabulary, width, depth, heads, longest=length, key=key)
        self.width = width
        self.length = length

    def tokenize(self, captions: Sequence[str]) -> TokenBatch:
        return self.tokenizer(captions, self.length)

    def __call__(self, ids: Int[Array, "tokens"], mask: Bool[Array, "tokens"]) -> TextEmbedding:
        return TextEmbedding(self.bert(ids, mask), mask)
