"""Any selection of a source's samples."""

import hashlib
from collections.abc import Sequence
from typing import final

import numpy as np
from jaxtyping import Int, UInt64

from .source import AbstractSource, digest
from .wrapped_source import AbstractWrappedSource


@final
class Subset(AbstractWrappedSource):
    """The samples of `source` at `indices`, in that order.

    **Fields:**

    - `record`: what tells a training split again (`split`); "" for other selections.
    """

    def __init__(
        self,
        source: AbstractSource,
        indices: Sequence[int] | Int[np.ndarray, "samples"],
        *,
        record: str = "",
    ):
        super().__init__(source)
        self.record = record
        self._indices = np.asarray(indices, np.int64).reshape(-1)
        wrong = self._indices[(self._indices < 0) | (self._indices >= len(source))]
        if len(wrong):
            raise ValueError(
                f"A subset's indices must lie in 0 to {len(source) - 1}; got {int(wrong[0])}. "
                "Choose them from range(len(source))."
            )

    @property
    def fingerprint(self) -> str:
        indices = hashlib.blake2b(self._indices.tobytes(), digest_size=16).hexdigest()
        return digest(["subset", self._source.fingerprint, indices])

    def __len__(self) -> int:
        return len(self._indices)

    @property
    def file_starts(self) -> Int[np.ndarray, "files"]:
        files = np.searchsorted(self._source.file_starts, self._indices, side="right")
        return np.flatnonzero(np.diff(files, prepend=-1))

    def _place(self, index: int) -> int:
        return int(self._indices[index])

    def name_hashes(self) -> UInt64[np.ndarray, "samples"]:
        return self._source.name_hashes()[self._indices]

    def caption_hashes(self) -> UInt64[np.ndarray, "samples"]:
        return self._source.caption_hashes()[self._indices]
