"""Pictures that are decoded once."""

import threading
from typing import final

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from .sample import AbstractSource, digest

_HELD_BYTES = 2**30


@final
class HeldPictures(AbstractSource):
    """Another source whose pictures stay in memory once they were asked for.

    For few large pictures of which many crops are taken: a photograph takes 0.1 s to decode and a
    crop of it 0.1 ms. What would go over `limit` is decoded again each time.

    **Arguments:**

    - `source`: the pictures.
    - `shrink`: whole factor that each is made smaller by, as the mean of squares of pixels. A
        camera's or a JPEG's pixels are less sharp than their number; 2 gives crops with detail.
    - `limit`: bytes.
    """

    def __init__(self, source: AbstractSource, shrink: int = 1, limit: int = _HELD_BYTES):
        if shrink < 1:
            raise ValueError(f"Pictures are made smaller by a whole factor; got {shrink}.")
        self._source, self._shrink, self._limit = source, shrink, limit
        self._lock = threading.Lock()
        self._held: dict[int, np.ndarray] = {}
        self._bytes = 0

    @property
    def fingerprint(self) -> str:
        return digest(["held", self._source.fingerprint, self._shrink])

    def __len__(self) -> int:
        return len(self._source)

    def name(self, index: int) -> str:
        return self._source.name(index)

    def caption(self, index: int) -> str:
        return self._source.caption(index)

    def image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        held = self._held.get(index)
        if held is not None:
            return held
        image = self._source.image(index)
        if self._shrink > 1 and min(image.shape[:2]) >= self._shrink:
            image = np.asarray(Image.fromarray(image).reduce(self._shrink))
        with self._lock:
            if index not in self._held and self._bytes + image.nbytes <= self._limit:
                self._held[index] = image
                self._bytes += image.nbytes
        return image
