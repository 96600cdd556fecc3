"""Texts as numbers of 64 bits, by which samples are split and told apart."""

import hashlib
from collections.abc import Iterable

import numpy as np
from jaxtyping import UInt64

NO_TEXT = 2**64 - 1
"""Stands for a caption that is missing. It lies above every share that can be held out."""


def text_hash(text: str) -> int:
    """A hash of the text, from 0 to 2^64 - 1, the same on every machine."""
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def text_hashes(texts: Iterable[str | None]) -> UInt64[np.ndarray, "texts"]:
    """The hash of each text, and `NO_TEXT` for each None."""
    numbers = (NO_TEXT if text is None else text_hash(text) for text in texts)
    return np.fromiter(numbers, np.uint64)
