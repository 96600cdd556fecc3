"""Captions that are longer than a text encoder takes: they are cut, and this says so."""

import logging
import warnings
from collections.abc import Sequence
from typing import final

import numpy as np

from .tokenizer import AbstractTokenizer

_log = logging.getLogger("equildm.text")
_SHOWN = 80


@final
class CutCaptions:
    """Counts the captions that an encoder cuts, by the tokenizer's own lengths.

        cut = CutCaptions(encoder.tokenizer, encoder.max_tokens)
        cut.add(captions)
        cut.log()

    **Arguments:**

    - `tokenizer`: of the encoder.
    - `max_tokens`: tokens that the encoder cuts captions to.

    **Fields:**

    - `count`: how many of the captions so far are cut.
    - `total`: how many captions there were, without empty ones.
    """

    def __init__(self, tokenizer: AbstractTokenizer, max_tokens: int):
        self._tokenizer, self._max_tokens = tokenizer, max_tokens
        self._first: tuple[str, int] | None = None
        self.count = self.total = 0

    def add(self, captions: Sequence[str]) -> None:
        """Measures captions."""
        captions = [caption for caption in captions if caption]
        lengths = self._tokenizer.lengths(captions)
        indices = np.flatnonzero(lengths > self._max_tokens)
        if len(indices) and self._first is None:
            self._first = captions[indices[0]], int(lengths[indices[0]])
        self.count += len(indices)
        self.total += len(captions)

    def message(self) -> str:
        """What is cut, in a sentence; empty if nothing is."""
        if self._first is None:
            return ""
        caption, length = self._first
        shown = caption if len(caption) <= _SHOWN else f"{caption[:_SHOWN]}..."
        return (
            f"A caption has at most {self._max_tokens} tokens here; {self.count} of "
            f"{self.total} are longer and are cut, first {shown!r} with {length}. Shorten them, or "
            "use a text encoder that takes more (--max-tokens of a new model)."
        )

    def log(self) -> None:
        """One line in the log, if a caption is cut."""
        if message := self.message():
            _log.warning(message)

    def warn(self) -> None:
        """A `UserWarning`, if a caption is cut: for the prompts of a call."""
        if message := self.message():
            warnings.warn(message, UserWarning, stacklevel=4)
