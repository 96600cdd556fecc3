"""Filling a store of embeddings: captions in batches through the encoder, then to the disk."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import final, TypeAlias

import numpy as np

from .._types import TextEmbedding
from .source import digest_of
from .store import as_keys, KeyArray, RecordStore, ShardWriter

EncodeCaptions: TypeAlias = Callable[[Sequence[str]], TextEmbedding]
"""Captions to embeddings with a leading axis."""


def caption_key(caption: str) -> bytes:
    """The key of a caption's embedding."""
    return digest_of(caption.encode("utf-8", "surrogatepass"))


@final
class KnownKeys:
    """Which records a store has, those of this process that are still to be written included."""

    def __init__(self, folder: Path):
        self._store = RecordStore(folder)
        self._new: dict[bytes, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def original(self, keys: KeyArray) -> tuple[int, int] | None:
        """Height and width of the original, if all of the keys have a record."""
        sizes = []
        with self._lock:
            for place in range(len(keys)):
                key = keys[place : place + 1]
                sizes.append(self._new.get(key.tobytes()) or self._store.original(key))
        return None if None in sizes else sizes[0]

    def add(self, key: bytes, original: tuple[int, int] = (0, 0)) -> bool:
        """Whether a key is new. It is not from then on."""
        with self._lock:
            if key in self._new or self._store.has(as_keys([key]))[0]:
                return False
            self._new[key] = original
            return True


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
        self._folder, self._encode, self._batch = folder, encode, batch
        self._waiting: list[str] = []
        self._keys = KnownKeys(folder)
        self._shard: ShardWriter | None = None

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
        if self._shard is None:
            self._shard = ShardWriter(self._folder, [("shape", "<u4", (2,)), ("used", "<u4")])
        for caption, embedding, real in zip(self._waiting, stored, mask, strict=False):
            used = len(real) - int(real[::-1].argmax()) if real.any() else 0
            record = real.tobytes() + embedding[:used].tobytes()
            self._shard.add(caption_key(caption), record, embedding.shape, used)
        self._waiting = []

    def commit(self) -> None:
        """Embeds what waits and completes the shard."""
        if self._waiting:
            self._flush()
        if self._shard is not None:
            self._shard.commit()
            self._shard = None

    def abandon(self) -> None:
        """Removes the shard that is being written."""
        if self._shard is not None:
            self._shard.abandon()
