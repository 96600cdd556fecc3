"""What sources that are made of another one have in common."""

import numpy as np
from jaxtyping import Int, UInt8, UInt64

from .remarks import Remarks
from .source import AbstractSource, StoredImage


class AbstractWrappedSource(AbstractSource):
    """The samples of `source`, all of whose answers are passed on but for what a subclass changes.

    **Arguments:**

    - `source`: what is wrapped.
    """

    def __init__(self, source: AbstractSource):
        self._source = source

    def _place(self, index: int) -> int:
        """The number that a sample has in `source`."""
        return index

    @property
    def remarks(self) -> Remarks:
        return self._source.remarks

    def __len__(self) -> int:
        return len(self._source)

    @property
    def file_starts(self) -> Int[np.ndarray, "files"]:
        return self._source.file_starts

    def name(self, index: int) -> str:
        return self._source.name(self._place(index))

    def caption(self, index: int) -> str:
        return self._source.caption(self._place(index))

    def captions(self, index: int) -> tuple[str, ...]:
        return self._source.captions(self._place(index))

    def name_hashes(self) -> UInt64[np.ndarray, "samples"]:
        return self._source.name_hashes()

    def caption_hashes(self) -> UInt64[np.ndarray, "samples"]:
        return self._source.caption_hashes()

    def image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        return self._source.image(self._place(index))

    def stored(self, index: int) -> StoredImage:
        return self._source.stored(self._place(index))
