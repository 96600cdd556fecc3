"""What a source of captioned pictures is."""

import abc
import hashlib
import operator
from collections.abc import Iterable
from pathlib import Path
from typing import final, NamedTuple

import numpy as np
from jaxtyping import UInt8


class Sample(NamedTuple):
    """One captioned picture, as stored: any size, 8 bits a channel."""

    image: UInt8[np.ndarray, "height width 3"]
    caption: str
    name: str


class UnusableSample(ValueError):
    """One sample cannot be used. Whoever reads the data set counts it, logs it and goes on.

    **Fields:** `reason`, a short phrase that samples are counted by ("broken image"), `name`, which
    sample, and `detail`, what exactly was found.
    """

    def __init__(self, reason: str, name: str, detail: str = ""):
        super().__init__(f"{name}: {reason}" + (f" ({detail})" if detail else ""))
        self.reason = reason
        self.name = name
        self.detail = detail


class AbstractSource(abc.ABC):
    """A random-access collection of captioned pictures.

    A subclass says how many there are and reads one's name, caption and image separately, so that
    splitting by caption decodes no pictures and training a VAE needs no captions. `caption` and
    `image` raise `UnusableSample` where there is none to be had; they may be called from
    several threads at once.
    """

    @property
    @abc.abstractmethod
    def fingerprint(self) -> str:
        """Changes when the data changes, and only then: what caches are keyed by."""

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def name(self, index: int) -> str:
        """What to call the sample in a log. Never fails."""

    @abc.abstractmethod
    def caption(self, index: int) -> str: ...

    @abc.abstractmethod
    def image(self, index: int) -> UInt8[np.ndarray, "height width 3"]: ...

    @final
    def __getitem__(self, index: int) -> Sample:
        position = operator.index(index)
        if position < 0:
            position += len(self)
        if not 0 <= position < len(self):
            raise IndexError(f"This source holds samples 0 to {len(self) - 1}; asked for {index}.")
        caption = self.caption(position)  # before the image: it costs less to find missing
        return Sample(self.image(position), caption, self.name(position))


def clean_caption(value: object, name: str) -> str:
    """The caption without surrounding or repeated white space; `UnusableSample` if none is left."""
    if value is None:
        raise UnusableSample("missing caption", name)
    if not isinstance(value, str):
        raise UnusableSample("missing caption", name, f"not text but {type(value).__name__}")
    caption = " ".join(value.split())
    if not caption:
        raise UnusableSample("missing caption", name, "empty")
    return caption


def digest(parts: Iterable[object]) -> str:
    """A short hash of the parts' texts, in order."""
    summary = hashlib.blake2b(digest_size=16)
    for part in parts:
        text = str(part).encode()
        summary.update(len(text).to_bytes(8, "little") + text)
    return summary.hexdigest()


def file_identity(path: Path) -> tuple[str, int, int]:
    """Name, bytes and time of change: what tells one version of a file from another."""
    status = path.stat()
    return path.name, status.st_size, status.st_mtime_ns
