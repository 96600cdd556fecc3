"""Random access to captioned images: the interface of every data set."""

import abc
import hashlib
import operator
from collections.abc import Callable, Iterable
from typing import final, NamedTuple, Protocol

import numpy as np
from jaxtyping import Int, UInt8, UInt64

from ..runtime.address import Address, FilePath
from .remarks import Remarks
from .text_hash import text_hashes


class Sample(NamedTuple):
    """One captioned image as it is stored: any size, 8 bits a channel."""

    image: UInt8[np.ndarray, "height width 3"]
    caption: str
    name: str


class Decode(Protocol):
    """Gives the pixels of an image, or raises `UnusableSample`."""

    def __call__(self, *, side: int | None = None) -> UInt8[np.ndarray, "height width 3"]:
        """The pixels. For an image that is reduced to a shorter side of `side` pixels afterwards
        they may be fewer than the file has, but at least twice as many along each side."""


class StoredImage(NamedTuple):
    """An image that is not decoded yet.

    **Fields:**

    - `digest`: 16 bytes that change when the image may. A source of files hashes the encoded bytes.
    - `decode`: gives the pixels, see `Decode`.
    - `shape`: gives height and width of the entire image, or raises `UnusableSample`.
    """

    digest: bytes
    decode: Decode
    shape: Callable[[], tuple[int, int]]


class UnusableSample(ValueError):
    """Raised for a sample that cannot be used. Its reader logs it, counts it and goes on.

    Only for faults of the data. An error of the machine is an `OSError`, which ends the run.

    **Fields:**

    - `reason`: a short phrase that samples are counted by, such as "broken image".
    - `name`: of the sample.
    - `detail`: the exact problem.
    """

    def __init__(self, reason: str, name: str, detail: str = ""):
        super().__init__(f"{name}: {reason}" + (f" ({detail})" if detail else ""))
        self.reason = reason
        self.name = name
        self.detail = detail


class AbstractSource(abc.ABC):
    """A random-access collection of captioned images.

    A subclass has a length, and reads the name, the caption and the image of a sample separately,
    so that splitting by caption decodes no image and training a VAE needs no captions. `caption`,
    `captions` and `image` raise `UnusableSample` for a sample without one. Several threads may call
    them at once.
    """

    @property
    @abc.abstractmethod
    def fingerprint(self) -> str:
        """Changes when the data changes, and only then. It is part of the key of a cache."""

    @property
    def remarks(self) -> Remarks:
        """What of the data is not used, or is used changed. By default nothing is known of it."""
        return Remarks("data")

    @abc.abstractmethod
    def __len__(self) -> int:
        """The number of samples."""

    @abc.abstractmethod
    def name(self, index: int) -> str:
        """The name of a sample in logs. Never fails."""

    @abc.abstractmethod
    def caption(self, index: int) -> str:
        """The caption of a sample; of several the first, which evaluation and splits go by."""

    def captions(self, index: int) -> tuple[str, ...]:
        """All captions of a sample, different ones, at least one. Training draws among them.

        By default a sample has one.
        """
        return (self.caption(index),)

    @abc.abstractmethod
    def image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        """The image of a sample."""

    @property
    def file_starts(self) -> Int[np.ndarray, "files"]:
        """The first sample of each file, where files hold many samples each; by default there is
        one file."""
        return np.zeros(1, np.int64)

    def stored(self, index: int) -> StoredImage:
        """The image of a sample before it is decoded. By default its pixels tell images apart."""
        pixels = self.image(index)
        key = digest_of(str(pixels.shape).encode(), pixels.tobytes())
        height, width = pixels.shape[:2]
        return StoredImage(key, lambda *, side=None: pixels, lambda: (height, width))

    def name_hashes(self) -> UInt64[np.ndarray, "samples"]:
        """The hash of each sample's name (`text_hash`). By default they are read one by one."""
        return text_hashes(self.name(index) for index in range(len(self)))

    def caption_hashes(self) -> UInt64[np.ndarray, "samples"]:
        """The hash of each sample's (first) caption, and `NO_TEXT` for a sample without one.

        By default the captions are read one by one.
        """

        def caption(index: int) -> str | None:
            try:
                return self.caption(index)
            except UnusableSample:
                return None

        return text_hashes(caption(index) for index in range(len(self)))

    @final
    def __getitem__(self, index: int) -> Sample:
        """A sample; negative indices count from the end."""
        position = operator.index(index)
        if position < 0:
            position += len(self)
        if not 0 <= position < len(self):
            raise IndexError(f"This source holds samples 0 to {len(self) - 1}; received {index}.")
        caption = self.caption(position)  # first: reading it costs less than decoding
        return Sample(self.image(position), caption, self.name(position))


@final
class Digest:
    """A short hash of the texts of parts, which are added in order."""

    def __init__(self, parts: Iterable[object] = ()):
        self._summary = hashlib.blake2b(digest_size=16)
        for part in parts:
            self.add(part)

    def add(self, part: object) -> None:
        """One more part."""
        text = str(part).encode("utf-8", "surrogatepass")
        self._summary.update(len(text).to_bytes(8, "little") + text)

    def text(self) -> str:
        """The hash of what has been added."""
        return self._summary.hexdigest()


def digest(parts: Iterable[object]) -> str:
    """A short hash of the parts' texts, in order."""
    return Digest(parts).text()


def digest_of(*parts: bytes) -> bytes:
    """A hash of 16 bytes of the parts, one after the other."""
    summary = hashlib.blake2b(digest_size=16)
    for part in parts:
        summary.update(part)
    return summary.digest()


def file_identity(path: FilePath) -> tuple[str, int, int | str]:
    """Name, bytes and time of change, which distinguish the versions of a file.

    At an address what the store says in place of the time: a hash, a number or a date.
    """
    if isinstance(path, Address):
        return path.name, *path.entry
    status = path.stat()
    return path.name, status.st_size, status.st_mtime_ns


READING = 2
"""Version of what sources of files read: 2 uses colour profiles and more kinds of files."""
