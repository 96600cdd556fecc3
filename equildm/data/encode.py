"""Filling stores: batches of one shape through the encoders, records to new shards."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import final, TypeAlias

import numpy as np
from jaxtyping import Array, Float

from .._types import TextEmbedding
from .source import digest_of
from .store import as_keys, KeyArray, RecordStore, ShardWriter

EncodeImages: TypeAlias = Callable[
    [Float[np.ndarray, "batch height width 3"]], Float[Array, "batch h w c"]
]
"""Images in [-1, 1] to latents."""
EncodeCaptions: TypeAlias = Callable[[Sequence[str]], TextEmbedding]
"""Captions to embeddings with a leading axis."""


def caption_key(caption: str) -> bytes:
    """The key of a caption's embedding."""
    return digest_of(caption.encode("utf-8", "surrogatepass"))


@final
class _Keys:
    """Which records a store has, those of this process that are still to be written included."""

    def __init__(self, folder: Path):
        self._store = RecordStore(folder)
        self._new: set[bytes] = set()
        self._lock = threading.Lock()

    def has(self, keys: KeyArray) -> bool:
        """Whether all of the keys have a record."""
        with self._lock:
            missing = keys[~self._store.has(keys)]
            return all(key.ljust(16, b"\0") in self._new for key in missing.tolist())

    def add(self, key: bytes) -> bool:
        """Whether a key is new. It is not from then on."""
        with self._lock:
            if key in self._new or self._store.has(as_keys([key]))[0]:
                return False
            self._new.add(key)
            return True


@final
class LatentEncoder:
    """Encodes the images that a store lacks, and measures each channel's mean and variance.

    One batch is encoded while the next one is filled.

    **Arguments:**

    - `folder`: of the store.
    - `encode`: the VAE's encoder, for `batch` images.
    - `batch`: images in a call. The last batch before `commit` is filled up.
    - `size`: side of the images in pixels.
    - `dtype`: of the records.
    """

    def __init__(self, folder: Path, encode: EncodeImages, batch: int, size: int, dtype: str):
        self._folder, self._encode, self._dtype = folder, encode, np.dtype(dtype).newbyteorder("<")
        self._images = np.zeros((batch, size, size, 3), np.float32)
        self._waiting: list[bytes] = []
        self._running: tuple[list[bytes], Array] | None = None
        self._keys = _Keys(folder)
        self._shard: ShardWriter | None = None
        self.batch = batch

    def has(self, keys: KeyArray) -> bool:
        """Whether all of the keys have a latent. Threads may ask."""
        return self._keys.has(keys)

    def add(self, image: Float[np.ndarray, "h w 3"], key: bytes) -> None:
        """One image in [-1, 1], which is encoded if its key is new."""
        if self._keys.add(key):
            self._images[len(self._waiting)] = image
            self._waiting.append(key)
            if len(self._waiting) == self.batch:
                self._start()

    def _start(self) -> None:
        images, self._images = self._images, np.zeros_like(self._images)
        latents = self._encode(images)  # a device computes it from here on
        keys, self._waiting = self._waiting, []
        self._finish()
        self._running = keys, latents

    def _finish(self) -> None:
        if self._running is None:
            return
        keys, device_latents = self._running
        latents = np.asarray(device_latents, np.float32)
        if latents.ndim != 4 or len(latents) != self.batch:
            raise ValueError(
                f"encode_images must give ({self.batch}, height, width, channels) for a batch of "
                f"{self._images.shape}; it gave {latents.shape}. Vmap the encoder of one image."
            )
        latents = latents[: len(keys)]  # the rest of the last batch is filling
        with np.errstate(over="ignore"):  # checked in the next line
            stored = latents.astype(self._dtype)
        if not np.isfinite(stored).all():
            raise ValueError(
                f"Latents must be finite in {self._dtype}; the largest magnitude of a batch is "
                f"{np.abs(latents).max()}. Check the VAE's weights, or cache in float32."
            )
        if self._shard is None:
            channels = latents.shape[-1:]
            known = [("shape", "<u4", (3,)), ("mean", "<f4", channels), ("var", "<f4", channels)]
            self._shard = ShardWriter(self._folder, known)
        exact = latents.astype(np.float64)
        means, variances = exact.mean((1, 2)), exact.var((1, 2))
        for key, record, mean, variance in zip(keys, stored, means, variances, strict=True):
            self._shard.add(key, record.tobytes(), record.shape, mean, variance)
        self._running = None

    def commit(self) -> None:
        """Encodes what waits and completes the shard."""
        if self._waiting:
            self._start()
        self._finish()
        if self._shard is not None:
            self._shard.commit()
            self._shard = None

    def abandon(self) -> None:
        """Removes the shard that is being written."""
        if self._shard is not None:
            self._shard.abandon()


@final
class CaptionEncoder:
    """Embeds the captions that a store lacks, each once, in full batches.

    A record is the mask, one byte a token, and the embeddings in float16 up to the last token that
    is no padding. Attention leaves padding out, and of 77 tokens most captions use a dozen.

    **Arguments:** as of `LatentEncoder`.
    """

    def __init__(self, folder: Path, encode: EncodeCaptions, batch: int):
        self._folder, self._encode, self._batch = folder, encode, batch
        self._waiting: list[str] = []
        self._keys = _Keys(folder)
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
