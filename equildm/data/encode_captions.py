"""Filling a store of embeddings: captions in batches through the encoder, then to the disk."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import final, TypeAlias

import numpy as np
from jaxtyping import Bool

from .._types import TextEmbedding
from .source import digest_of
from .store import KnownKeys, ShardWriter

EncodeCaptions: TypeAlias = Callable[[Sequence[str]], TextEmbedding]
"""Captions to embeddings with a leading axis."""


def caption_key(caption: str) -> bytes:
    """The key of a caption's embedding."""
    return digest_of(caption.encode("utf-8", "surrogatepass"))


@final
class CaptionEncoder:
    """Embeds the captions that a store lacks, each once, in full batches.

    A record is the mask, one byte a token, and the embeddings in float16 up to the last token that
    is no padding. Attention leaves padding out, and of 77 tokens most captions use a dozen.

    **Arguments:**

    - `folder`: of the store.
    - `encode`: the text encoder, for `batch` captions.
    - `batch`: captions in a call. The last batch before `commit` is filled up.
    """

    def __init__(self, folder: Path, encode: EncodeCaptions, batch: int):
        self._encode, self._batch = encode, batch
        self._waiting: list[str] = []
        self._keys = KnownKeys(folder)
        self._shard = ShardWriter(folder)

    def add(self, caption: str) -> None:
        """A caption, which is embedded if it is new."""
        if self._keys.add(caption_key(caption)):
            self._waiting.append(caption)
            if len(self._waiting) == self._batch:
                self._flush()

    def _flush(self) -> None:
        count = len(self._waiting)
        text = self._encode([*self._waiting, *[""] * (self._batch - count)])
        tokens, mask = np.asarray(text.tokens, np.float32), np.asarray(text.mask, bool)
        if tokens.ndim != 3 or len(tokens) != self._batch or mask.shape != tokens.shape[:2]:
            raise ValueError(
                f"encode_captions must give tokens ({self._batch}, tokens, width) and a mask "
                f"({self._batch}, tokens); it gave {tokens.shape} and {mask.shape}."
            )
        with np.errstate(over="ignore"):  # checked in the next lines
            stored = tokens[:count].astype("<f2")
        finite = np.isfinite(stored).all((1, 2))
        if not finite.all():
            raise ValueError(
                "Text embeddings must be finite in float16; that of "
                f"{self._waiting[int(np.argmin(finite))]!r} is not. Check the encoder's weights."
            )
        counts = [_used(real) for real in mask[:count]]
        self._shard.add(
            [caption_key(caption) for caption in self._waiting],
            (
                real.tobytes() + embedding[:used].tobytes()
                for real, embedding, used in zip(mask, stored, counts, strict=False)
            ),
            shape=np.full((count, 2), stored.shape[1:], "<u4"),
            used=np.asarray(counts, "<u4"),
        )
        self._waiting = []

    def commit(self) -> None:
        """Embeds what waits and completes the shard."""
        if self._waiting:
            self._flush()
        self._shard.commit()

    def abandon(self) -> None:
        """Removes the shard that is being written."""
        self._shard.abandon()


def _used(mask: Bool[np.ndarray, "tokens"]) -> int:
    """The number of tokens up to the last one that is no padding."""
    return len(mask) - int(np.argmax(mask[::-1])) if mask.any() else 0
