"""Reading the embeddings of captions, which are stored without their padding."""

from typing import final

import numpy as np
from jaxtyping import Int

from .._types import TextEmbedding
from .batch import host_text
from .records import RecordReader

_PIECE = 4096


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

    def _read(self, numbers: np.ndarray) -> list[bytes]:
        parts = np.split(numbers, range(_PIECE, len(numbers), _PIECE))
        return [record for part in parts for record in self._reader.read(self._rows[part])]

    def gather(self, numbers: Int[np.ndarray, "batch"]) -> TextEmbedding:
        """The embeddings of captions as one batch in float16. Padding is zeros."""
        if self._all is None:
            different, places = np.unique(numbers, return_inverse=True)
            read = self._read(different)
            records = [read[place] for place in places.tolist()]
        else:
            records = [self._all[number] for number in numbers.tolist()]
        mask = np.empty((len(records), self._tokens), bool)
        tokens = np.zeros((len(records), self._tokens, self._width), "<f2")
        for row, record in enumerate(records):
            mask[row] = np.frombuffer(record, bool, self._tokens)
            used = np.frombuffer(record, "<f2", offset=self._tokens).reshape(-1, self._width)
            tokens[row, : len(used)] = used
        return host_text(tokens, mask)
