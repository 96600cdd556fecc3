"""A small text encoder, to be trained together with the denoiser."""

import equinox as eqx
from jaxtyping import Array, Bool, Int

from .._types import Key, TextEmbedding
from .bert import Bert
from .encoder import AbstractTextEncoder
from .tokenizer import ByteTokenizer


class SmallTextEncoder(AbstractTextEncoder):
    """A BERT over UTF-8 bytes: no vocabulary, no pretrained weights, any language.

    For tests and for training from captions end to end.
    """

    bert: Bert
    tokenizer: ByteTokenizer = eqx.field(static=True)
    width: int = eqx.field(static=True)
    max_tokens: int = eqx.field(static=True)

    def __init__(
        self, width: int = 64, depth: int = 2, heads: int = 4, max_tokens: int = 48, *, key: Key
    ):
        """**Arguments:**

        - `width`, `depth`, `heads`: size of a token's vector, number of layers, heads of each
            attention.
        - `max_tokens`: bytes a caption is padded or cut to, one opening token included.
        - `key`: for the initial weights.
        """
        if max_tokens < 1:
            raise ValueError(
                f"SmallTextEncoder's max_tokens must be at least 1, received {max_tokens}."
            )
        self.tokenizer = ByteTokenizer()
        self.bert = Bert(
            self.tokenizer.vocabulary, width, depth, heads, longest=max_tokens, key=key
        )
        self.width = width
        self.max_tokens = max_tokens

    def __call__(self, ids: Int[Array, "tokens"], mask: Bool[Array, "tokens"]) -> TextEmbedding:
        return TextEmbedding(self.bert(ids, mask), mask)
