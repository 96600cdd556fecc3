"""Of several captions the first: what is measured, and what runs of before trained on."""

from typing import final, Literal, TypeAlias

import numpy as np
from jaxtyping import Int, UInt8, UInt64

from .remarks import Remarks
from .source import AbstractSource, digest, StoredImage

Captions: TypeAlias = Literal["all", "first"]
"""Which captions of an image a model is trained on, where it has several."""


def with_captions(source: AbstractSource, which: Captions) -> AbstractSource:
    """The source with all of its captions, or with the first of each sample."""
    return source if which == "all" else FirstCaptions(source)


@final
class FirstCaptions(AbstractSource):
    """The samples of `source`, each with its first caption alone."""

    def __init__(self, source: AbstractSource):
        self._source = source

    @property
    def fingerprint(self) -> str:
        return digest(["first captions", self._source.fingerprint])

    @property
    def remarks(self) -> Remarks:
        return self._source.remarks

    def __len__(self) -> int:
        return len(self._source)

    @property
    def file_starts(self) -> Int[np.ndarray, "files"]:
        return self._source.file_starts

    def name(self, index: int) -> str:
        return self._source.name(index)

    def caption(self, index: int) -> str:
        return self._source.caption(index)

    def name_hashes(self) -> UInt64[np.ndarray, "samples"]:
        return self._source.name_hashes()

    def caption_hashes(self) -> UInt64[np.ndarray, "samples"]:
        return self._source.caption_hashes()

    def image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        return self._source.image(index)

    def stored(self, index: int) -> StoredImage:
        return self._source.stored(index)
