"""Filling stores of latents: images in batches of one shape through the VAE, then to the disk."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import final, TypeAlias

import numpy as np
from jaxtyping import Array, Float, UInt8

from ..images import to_unit
from .source import StoredImage
from .store import as_keys, KnownKeys, mirrored_keys, ShardWriter
from .transforms import Crop

EncodeImages: TypeAlias = Callable[
    [Float[np.ndarray, "batch height width 3"]], Float[Array, "batch h w c"]
]
"""Images in [-1, 1] to latents."""


PIXELS = 2**20
"""Pixels that a device encodes in one call. The first activations of Stable Diffusion's VAE then
take 0.5 GB in float32."""


def images_at_once(height: int, width: int, most: int = 64) -> int:
    """Images of this size that a device encodes in one call: a power of two, at most `most`."""
    while most > 1 and most * height * width > PIXELS:
        most //= 2
    return most


@final
class LatentEncoder:
    """Encodes the images of one shape that a store lacks, and measures mean and variance of each.

    One batch is encoded while the next one is filled.

    **Arguments:**

    - `folder`: of the store.
    - `encode`: the VAE's encoder, for `batch` images.
    - `batch`: images in a call. The last batch before `commit` is filled up.
    - `crop`: of the images.
    - `dtype`: of the records.
    """

    def __init__(self, folder: Path, encode: EncodeImages, batch: int, crop: Crop, dtype: str):
        self._encode, self._batch = encode, batch
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._images = self._empty(crop)
        self._waiting: list[tuple[bytes, tuple[int, int]]] = []
        self._running: tuple[list[tuple[bytes, tuple[int, int]]], Array] | None = None
        self._shard = ShardWriter(folder)
        self.crop = crop
        self.keys = KnownKeys(folder)

    def add(
        self, pixels: UInt8[np.ndarray, "h w 3"], key: bytes, original: tuple[int, int]
    ) -> None:
        """A crop of an image that was of the `original` height and width, if its key is new."""
        if not self.keys.add(key, original):
            return
        self._images[len(self._waiting)] = to_unit(pixels)
        self._waiting.append((key, original))
        if len(self._waiting) == self._batch:
            self._start()

    def _empty(self, crop: Crop) -> Float[np.ndarray, "batch height width 3"]:
        return np.zeros((self._batch, *crop.shape, 3), np.float32)  # takes memory where written to

    def _start(self) -> None:
        images, self._images = self._images, self._empty(self.crop)
        latents = self._encode(images)  # a device computes it from here on
        batch, self._waiting = self._waiting, []
        self._finish()
        self._running = batch, latents

    def _finish(self) -> None:
        if self._running is None:
            return
        batch, device_latents = self._running
        latents = np.asarray(device_latents, np.float32)
        if latents.ndim != 4 or len(latents) != self._batch:
            raise ValueError(
                f"encode_images must give ({self._batch}, height, width, channels) for a batch of "
                f"{(self._batch, *self.crop.shape, 3)}; it gave {latents.shape}. Vmap the encoder "
                "of one image."
            )
        latents = latents[: len(batch)]  # the rest of the last batch is filling
        with np.errstate(over="ignore"):  # checked in the next line
            stored = latents.astype(self._dtype)
        if not np.isfinite(stored).all():
            raise ValueError(
                f"Latents must be finite in {self._dtype}; the largest magnitude of a batch is "
                f"{np.abs(latents).max()}. Check the VAE's weights, or cache in float32."
            )
        exact = latents.astype(np.float64)
        keys, originals = zip(*batch, strict=True)
        self._shard.add(
            keys,
            (record.tobytes() for record in stored),
            shape=np.full((len(batch), 3), stored.shape[1:], "<u4"),
            mean=exact.mean((1, 2)).astype("<f4"),
            var=exact.var((1, 2)).astype("<f4"),
            original=np.asarray(originals, "<u4"),
            offset=np.asarray([self.crop.offset(*size) for size in originals], "<u4"),
        )
        self._running = None

    def commit(self) -> None:
        """Encodes what waits and completes the shard."""
        if self._waiting:
            self._start()
        self._finish()
        self._shard.commit()

    def abandon(self) -> None:
        """Removes the shard that is being written."""
        self._shard.abandon()


@final
class BucketEncoders:
    """A `LatentEncoder` for each shape. An image goes to the one that its own size says.

    **Arguments:**

    - `encoders`: one for each shape.
    - `choose`: the number of the shape of an image of a height and a width.
    - `flip`: encode the mirror image of each image too.
    """

    def __init__(
        self,
        encoders: Sequence[LatentEncoder],
        choose: Callable[[int, int], int],
        *,
        flip: bool,
    ):
        self._encoders, self._choose, self._flip = encoders, choose, flip

    def bucket(self, digest: bytes) -> int | None:
        """The bucket of an image whose latents are there; None where one is not."""
        keys = as_keys([digest])
        keys = np.concatenate([keys, mirrored_keys(keys)]) if self._flip else keys
        for number, encoder in enumerate(self._encoders):
            original = encoder.keys.original(keys)
            if original is not None and self._choose(*original) == number:
                return number
        return None

    def crop(self, image: StoredImage) -> tuple[int, UInt8[np.ndarray, "h w 3"], tuple[int, int]]:
        """The bucket of an image, its crop, and height and width of the original."""
        height, width = image.shape()
        number = self._choose(height, width)
        crop = self._encoders[number].crop
        pixels = image.decode(side=crop.side(height, width))
        return number, crop(pixels), (height, width)

    def add(
        self,
        bucket: int,
        pixels: UInt8[np.ndarray, "h w 3"],
        digest: bytes,
        original: tuple[int, int],
    ) -> None:
        """A crop. Threads may ask for buckets meanwhile."""
        encoder = self._encoders[bucket]
        encoder.add(pixels, digest, original)
        if self._flip:
            encoder.add(pixels[:, ::-1], mirrored_keys(as_keys([digest])).tobytes(), original)

    def commit(self) -> None:
        """Completes the shards of all."""
        for encoder in self._encoders:
            encoder.commit()

    def abandon(self) -> None:
        """Removes the shards that are being written."""
        for encoder in self._encoders:
            encoder.abandon()
