"""MiniLM: a small pretrained sentence encoder, the default frozen encoder."""

import equinox as eqx
from jaxtyping import Array, Bool, Int

from .._types import TextEmbedding
from .bert import Bert
from .encoder import AbstractTextEncoder
from .tokenizer import AbstractTokenizer


class MiniLM(AbstractTextEncoder):
    """A BERT with its tokenizer (Wang et al. 2020). `interop.load_minilm` reads a pretrained one.

    At the usual size: 6 layers, 384 wide, 12 heads, 22.7M parameters.
    """

    bert: Bert
    tokenizer: AbstractTokenizer = eqx.field(static=True)
    width: int = eqx.field(static=True)
    max_tokens: int = eqx.field(static=True)

    def __init__(self, bert: Bert, tokenizer: AbstractTokenizer, max_tokens: int = 16):
        """**Arguments:**

        - `bert`: the network.
        - `tokenizer`: the one that the network was trained with.
        - `max_tokens`: tokens a caption is padded or cut to, its opening and closing one included.
        """
        longest = bert.positions.shape[0]
        if not 2 <= max_tokens <= longest:
            raise ValueError(
                f"MiniLM's max_tokens must be from 2 (an opening and a closing token) to {longest} "
                f"(its positions), received {max_tokens}."
            )
        self.bert = bert
        self.tokenizer = tokenizer
        self.width = bert.words.shape[1]
        self.max_tokens = max_tokens

    def __call__(self, ids: Int[Array, "tokens"], mask: Bool[Array, "tokens"]) -> TextEmbedding:
        return TextEmbedding(self.bert(ids, mask), mask)
