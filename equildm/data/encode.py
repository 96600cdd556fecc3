"""Writing a cache: batches of a fixed shape through the encoders, records to the disk."""

import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import final, TypeAlias

import numpy as np
from jaxtyping import Array, Float, UInt8

from .._types import TextEmbedding
from .caption_text import clean_caption
from .latents import CAPTIONS, latent_record, text_record
from .records import RecordWriter
from .skips import Skips
from .source import AbstractSource
from .transforms import Crop

EncodeImages: TypeAlias = Callable[
    [Float[np.ndarray, "batch height width 3"]], Float[Array, "batch h w c"]
]
"""Images in [-1, 1] to latents."""
EncodeCaptions: TypeAlias = Callable[[Sequence[str]], TextEmbedding]
"""Captions to embeddings with a leading axis."""

_Item = tuple[UInt8[np.ndarray, "size size 3"], str]


def cropped(
    source: AbstractSource, crop: Crop, skips: Skips, *, ahead: int
) -> Iterator[_Item | None]:
    """Each sample in order as (pixels, caption), or None where it is unusable.

    Threads decode up to `ahead` samples while the accelerator encodes earlier ones: decoding and
    resizing run outside of Python's lock.
    """

    def read(index: int) -> _Item:
        sample = source[index]
        return crop(sample.image), clean_caption(sample.caption, sample.name)

    waiting: deque[Future[_Item | None]] = deque()
    pool = ThreadPoolExecutor(min(32, os.cpu_count() or 1))
    try:
        for index in range(len(source)):
            waiting.append(pool.submit(skips.attempt, index, read))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


@final
class LatentWriter:
    """Encodes images in batches of one shape, and measures each channel's mean and variance."""

    def __init__(self, folder: Path, encode: EncodeImages, batch: int, size: int, dtype: str):
        self._records = RecordWriter(folder, "latents")
        self._encode = encode
        self._images = np.zeros((batch, size, size, 3), np.float32)
        self._labels: list[tuple[int, int, bool]] = []
        self._moments = (0, np.zeros(0), np.zeros(0))
        self.batch = batch
        self.dtype = dtype
        self.shape: list[int] = []

    def add(
        self, image: Float[np.ndarray, "h w 3"], caption: int, source: int, *, mirrored: bool
    ) -> None:
        """One image in [-1, 1], with the numbers of its caption and its name."""
        self._images[len(self._labels)] = image
        self._labels.append((caption, source, mirrored))
        if len(self._labels) == self.batch:
            self._flush()

    def _flush(self) -> None:
        latents = np.asarray(self._encode(self._images), np.float32)
        if latents.ndim != 4 or len(latents) != self.batch:
            raise ValueError(
                f"encode_images must give ({self.batch}, height, width, channels) for a batch of "
                f"{self._images.shape}; it gave {latents.shape}. Vmap the encoder of one image."
            )
        latents = latents[: len(self._labels)]  # the rest of the last batch is filling
        self.shape = list(latents.shape[1:])
        stored = np.zeros(len(latents), latent_record(self.shape, self.dtype))
        with np.errstate(over="ignore"):  # checked in the next line
            stored["latent"] = latents
        if not np.isfinite(stored["latent"]).all():
            raise ValueError(
                f"Latents must be finite in {self.dtype}; the largest magnitude of a batch is "
                f"{np.abs(latents).max()}. Check the VAE's weights, or cache in float32."
            )
        for record, label in zip(stored, self._labels, strict=True):
            record["caption"], record["source"], record["mirrored"] = label
            self._records.write(record.tobytes())
        self._moments = _merge(self._moments, latents.reshape(-1, latents.shape[-1]))
        self._labels = []

    @property
    def files(self) -> dict[str, int]:
        """The files so far, and the number of records of each."""
        return dict(zip(self._records.files, self._records.counts, strict=True))

    @property
    def mean(self) -> list[float]:
        """Mean of each channel."""
        return [float(value) for value in self._moments[1]]

    @property
    def std(self) -> list[float]:
        """Standard deviation of each channel."""
        return [float(value) for value in np.sqrt(self._moments[2] / max(1, self._moments[0]))]

    def __enter__(self) -> "LatentWriter":
        return self

    def __exit__(self, error: object, *rest: object) -> None:
        if error is None and self._labels:
            self._flush()
        self._records.close()


@final
class TextWriter:
    """Numbers distinct captions by their first use, and encodes each once, in full batches.

    The empty caption is number 0.
    """

    def __init__(self, folder: Path, encode: EncodeCaptions, batch: int):
        self._records = RecordWriter(folder, "texts")
        self._captions = folder / CAPTIONS
        self._encode = encode
        self._batch = batch
        self._numbers: dict[str, int] = {}
        self._waiting: list[str] = []
        self.shape: list[int] = []
        self.number("")

    def number(self, caption: str) -> int:
        """The number of a caption, which is encoded if it is new."""
        if caption not in self._numbers:
            self._numbers[caption] = len(self._numbers)
            self._waiting.append(caption)
            if len(self._waiting) == self._batch:
                self._flush()
        return self._numbers[caption]

    def _flush(self) -> None:
        count = len(self._waiting)
        text = self._encode([*self._waiting, *[""] * (self._batch - count)])
        tokens, mask = np.asarray(text.tokens, np.float32), np.asarray(text.mask)
        if tokens.ndim != 3 or len(tokens) != self._batch or mask.shape != tokens.shape[:2]:
            raise ValueError(
                f"encode_captions must give tokens ({self._batch}, tokens, width) and a mask "
                f"({self._batch}, tokens); it gave {tokens.shape} and {mask.shape}."
            )
        self.shape = list(tokens.shape[1:])
        stored = np.zeros(count, text_record(*tokens.shape[1:]))
        with np.errstate(over="ignore"):  # checked in the next lines
            stored["tokens"], stored["mask"] = tokens[:count], mask[:count]
        finite = np.isfinite(stored["tokens"]).all((1, 2))
        if not finite.all():
            raise ValueError(
                "Text embeddings must be finite in float16; that of "
                f"{self._waiting[int(np.argmin(finite))]!r} is not. Check the encoder's weights."
            )
        for record in stored:
            self._records.write(record.tobytes())
        self._waiting = []

    @property
    def count(self) -> int:
        """The number of distinct captions."""
        return len(self._numbers)

    @property
    def files(self) -> dict[str, int]:
        """The files so far, and the number of records of each."""
        return dict(zip(self._records.files, self._records.counts, strict=True))

    def __enter__(self) -> "TextWriter":
        return self

    def __exit__(self, error: object, *rest: object) -> None:
        if error is None:
            if self._waiting:
                self._flush()
            with self._captions.open("w", encoding="utf-8") as lines:
                lines.writelines(json.dumps(caption) + "\n" for caption in self._numbers)
        self._records.close()


def _merge(
    moments: tuple[int, np.ndarray, np.ndarray], values: Float[np.ndarray, "pixels channels"]
) -> tuple[int, np.ndarray, np.ndarray]:
    """(count, mean, sum of squared deviations) with more values (Chan et al. 1979), in float64."""
    count, mean, squares = moments
    values = values.astype(np.float64)
    more, its_mean = len(values), values.mean(0)
    its_squares = ((values - its_mean) ** 2).sum(0)
    if count == 0:
        return more, its_mean, its_squares
    total, shift = count + more, its_mean - mean
    squares = squares + its_squares + shift**2 * count * more / total
    return total, mean + shift * more / total, squares
