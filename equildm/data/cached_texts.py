"""Reading the embeddings of captions, which are stored without their padding."""

from typing import final, NamedTuple

import numpy as np
from jaxtyping import Int

from .._types import TextEmbedding
from .batch import host_text
from .records import RecordReader

_PIECE = 4096


class _Packed(NamedTuple):
    """Embeddings one after the other: the tokens of caption i are at starts[i] to starts[i + 1]."""

    mask: np.ndarray  # (captions, tokens)
    tokens: np.ndarray  # (all tokens, width)
    starts: np.ndarray


@final
class CachedTexts:
    """Embeddings in random access by the number of the caption.

    **Arguments:**

    - `reader`: of the shards. A record is the mask, one byte a token, and float16 embeddings up to
        the last token that is no padding.
    - `rows`: the record of each caption.
    - `tokens`, `width`: shape of an embedding with its padding.
    - `in_memory`: read all of them at once.
    """

    def __init__(
        self,
        reader: RecordReader,
        rows: Int[np.ndarray, "captions"],
        tokens: int,
        width: int,
        *,
        in_memory: bool,
    ):
        self._reader, self._rows = reader, rows
        self._tokens, self._width = tokens, width
        self._all = self._read(np.arange(len(rows))) if in_memory else None

    def _read(self, numbers: np.ndarray) -> _Packed:
        parts = np.split(numbers, range(_PIECE, len(numbers), _PIECE))
        records = [record for part in parts for record in self._reader.read(self._rows[part])]
        mask = np.frombuffer(b"".join(record[: self._tokens] for record in records), bool)
        tokens = np.frombuffer(b"".join(record[self._tokens :] for record in records), "<f2")
        lengths = [(len(record) - self._tokens) // (2 * self._width) for record in records]
        return _Packed(
            mask.reshape(len(numbers), self._tokens),
            tokens.reshape(-1, self._width),
            np.cumsum([0, *lengths]),
        )

    def gather(self, numbers: Int[np.ndarray, "batch"]) -> TextEmbedding:
        """The embeddings of captions as one float32 batch. Padding is zeros."""
        packed = self._all
        if packed is None:
            numbers, order = np.unique(numbers, return_inverse=True)
            packed, numbers = self._read(numbers), order
        starts = packed.starts[numbers]
        place = np.arange(self._tokens)
        used = place < (packed.starts[numbers + 1] - starts)[:, None]
        tokens = np.zeros((len(numbers), self._tokens, self._width), np.float32)
        tokens[used] = packed.tokens[(starts[:, None] + place)[used]]
        return host_text(tokens, packed.mask[numbers])
