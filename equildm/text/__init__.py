"""Captions as sequences of vectors: the text-encoder adapter and the encoders behind it."""

from .bert import Bert as Bert, BertLayer as BertLayer
from .encoder import (
    AbstractTextEncoder as AbstractTextEncoder,
    embed as embed,
    sentence_embedding as sentence_embedding,
)
from .fingerprint import fingerprint as fingerprint
from .minilm import MiniLM as MiniLM
from .small import SmallTextEncoder as SmallTextEncoder
from .tokenizer import (
    AbstractTokenizer as AbstractTokenizer,
    ByteTokenizer as ByteTokenizer,
    TokenBatch as TokenBatch,
    WordPieceTokenizer as WordPieceTokenizer,
)
