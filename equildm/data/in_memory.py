"""Images that are decoded once."""

import threading
from typing import final

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from .source import AbstractSource, digest, StoredImage
from .wrapped_source import AbstractWrappedSource

_LIMIT = 2**30


@final
class InMemory(AbstractWrappedSource):
    """Another source whose images stay in memory after they were first read.

    For a few large images of which many crops are taken: decoding a photograph takes 0.1 s, a crop
    of it 0.1 ms. Images beyond `limit` are decoded each time.

    **Arguments:**

    - `source`: the images.
    - `shrink`: whole factor by which each image is reduced, to the means of squares of pixels. A
        photograph is less sharp than its number of pixels suggests; 2 gives crops with detail.
    - `limit`: bytes.
    """

    def __init__(self, source: AbstractSource, shrink: int = 1, limit: int = _LIMIT):
        if shrink < 1:
            raise ValueError(f"Images are reduced by a whole factor of at least 1; got {shrink}.")
        super().__init__(source)
        self._shrink, self._limit = shrink, limit
        self._lock = threading.Lock()
        self._images: dict[tuple[int, int | None], np.ndarray] = {}
        self._bytes = 0

    @property
    def fingerprint(self) -> str:
        return digest(["held", self._source.fingerprint, self._shrink])

    def stored(self, index: int) -> StoredImage:
        if self._shrink > 1:
            return AbstractSource.stored(self, index)  # its pixels are others
        image = self._source.stored(index)
        return image._replace(decode=lambda *, side=None: self._read(index, side))

    def image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        return self._read(index, None)

    def _read(self, index: int, side: int | None) -> UInt8[np.ndarray, "height width 3"]:
        """The image, or one that is large enough to be reduced to a shorter side of `side`."""
        for key in ((index, side), (index, None)):
            if (pixels := self._images.get(key)) is not None:
                return pixels
        if side is None:
            image = self._source.image(index)
        else:
            image = self._source.stored(index).decode(side=side)
        if self._shrink > 1 and min(image.shape[:2]) >= self._shrink:
            image = np.asarray(Image.fromarray(image).reduce(self._shrink))
        with self._lock:
            if (index, side) not in self._images and self._bytes + image.nbytes <= self._limit:
                self._images[index, side] = image
                self._bytes += image.nbytes
        return image
