"""Captions as token ids. Runs on the host, in numpy."""

import abc
import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int


class TokenBatch(NamedTuple):
    """Captions of one length. `mask` is true where the token is real, false where it is padding."""

    ids: Int[np.ndarray, "batch tokens"]
    mask: Bool[np.ndarray, "batch tokens"]


class AbstractTokenizer(abc.ABC):
    """Turns captions into ids.

    A tokenizer is a static field of its encoder, so it is compared by what it does: two with the
    same `fingerprint` are equal, and the encoders that hold them share a compiled program.
    """

    @property
    @abc.abstractmethod
    def fingerprint(self) -> str:
        """Equal for two tokenizers exactly if they give the same ids for every caption."""

    @abc.abstractmethod
    def __call__(self, captions: Sequence[str], length: int) -> TokenBatch:
        """Ids of each caption, padded or cut to `length` tokens."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AbstractTokenizer) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)


class PretrainedTokenizer(AbstractTokenizer):
    """Any tokenizer that the `tokenizers` library reads from a `tokenizer.json`.

    Padding and cutting are ours, because the file's own settings differ from model to model
    (MiniLM's pads to 128). A caption that is too long is cut before its last token, so that the
    closing token (`[SEP]`, an end-of-text) stays. `read_tokenizer` makes one from a folder.
    """

    def __init__(
        self,
        json: str,
        pad_id: int,
        *,
        longest: int | None = None,
        files: Mapping[str, bytes] | None = None,
    ):
        """**Arguments:**

        - `json`: the text of a `tokenizer.json`.
        - `pad_id`: the id that fills short captions.
        - `longest`: the most tokens that its model takes, where that is known.
        - `files`: what it was read from, by name: written again when the model is saved. By
            default the `tokenizer.json`.
        """
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_str(json)
        except Exception as error:  # The library raises bare `Exception`.
            raise ValueError(f"Not a tokenizer.json that `tokenizers` can read: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._fingerprint = hashlib.sha256(f"{pad_id}:{json}".encode()).hexdigest()
        self.vocabulary = self._tokenizer.get_vocab_size()
        self.pad_id = pad_id
        self.longest = longest
        self.files = {"tokenizer.json": json.encode()} if files is None else dict(files)

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def __call__(self, captions: Sequence[str], length: int) -> TokenBatch:
        rows = [code.ids for code in self._tokenizer.encode_batch(list(captions))]
        cut = [row if len(row) <= length else [*row[: length - 1], row[-1]] for row in rows]
        return _padded(cut, length, self.pad_id)


class ByteTokenizer(AbstractTokenizer):
    """UTF-8 bytes, shifted by 2: id 0 is padding, id 1 opens every caption. Needs no vocabulary."""

    vocabulary = 258

    @property
    def fingerprint(self) -> str:
        return "utf-8 bytes"

    def __call__(self, captions: Sequence[str], length: int) -> TokenBatch:
        rows = [[1, *(byte + 2 for byte in caption.encode())][:length] for caption in captions]
        return _padded(rows, length, 0)


def _padded(rows: Sequence[Sequence[int]], length: int, pad_id: int) -> TokenBatch:
    ids = np.full((len(rows), length), pad_id, np.int32)
    mask = np.zeros((len(rows), length), bool)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = True
    return TokenBatch(ids, mask)
