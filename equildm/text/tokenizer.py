"""Captions to token ids, on the host, in numpy."""

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
    """From captions to ids.

    A tokenizer is a static field of its encoder. Two tokenizers with the same `fingerprint` are
    equal, so that the encoders that hold them share a compiled program.
    """

    @property
    @abc.abstractmethod
    def fingerprint(self) -> str:
        """Equal for two tokenizers if and only if they give the same ids for every caption."""

    @abc.abstractmethod
    def __call__(self, captions: Sequence[str], max_tokens: int) -> TokenBatch:
        """Ids of each caption, padded or cut to `max_tokens` tokens."""

    def lengths(self, captions: Sequence[str]) -> Int[np.ndarray, "captions"]:
        """Tokens of each caption before it is cut.

        By default 0, which means that it is not known.
        """
        return np.zeros(len(captions), np.int64)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AbstractTokenizer) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)


class PretrainedTokenizer(AbstractTokenizer):
    """Any tokenizer that the `tokenizers` library reads from a `tokenizer.json`.

    Padding and cutting are done here, because the settings in the files differ from model to model
    (MiniLM's pads to 128). A long caption is cut before its last token, so that the closing token
    (`[SEP]`, an end of text) stays. `read_tokenizer` makes a tokenizer from a folder.
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
        - `pad_id`: the id that short captions are padded with.
        - `longest`: the most tokens that its model takes, where that is known.
        - `files`: the files that it was read from, by name; they are written when the model is
            saved. By default the `tokenizer.json`.
        """
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_str(json)
        except Exception as error:  # The library raises bare `Exception`.
            raise ValueError(
                f"Not a tokenizer.json that `tokenizers` can read: {error}. Fetch the file again."
            ) from error
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

    def __call__(self, captions: Sequence[str], max_tokens: int) -> TokenBatch:
        rows = [code.ids for code in self._tokenizer.encode_batch(list(captions))]
        cut = [row if len(row) <= max_tokens else [*row[: max_tokens - 1], row[-1]] for row in rows]
        return _padded(cut, max_tokens, self.pad_id)

    def lengths(self, captions: Sequence[str]) -> Int[np.ndarray, "captions"]:
        codes = self._tokenizer.encode_batch(list(captions))
        return np.array([len(code.ids) for code in codes], np.int64)


class ByteTokenizer(AbstractTokenizer):
    """UTF-8 bytes, shifted by 2: id 0 is padding, id 1 opens every caption. Needs no vocabulary."""

    vocabulary = 258

    @property
    def fingerprint(self) -> str:
        return "utf-8 bytes"

    def __call__(self, captions: Sequence[str], max_tokens: int) -> TokenBatch:
        rows = [[1, *(byte + 2 for byte in caption.encode())][:max_tokens] for caption in captions]
        return _padded(rows, max_tokens, 0)

    def lengths(self, captions: Sequence[str]) -> Int[np.ndarray, "captions"]:
        return np.array([1 + len(caption.encode()) for caption in captions], np.int64)


def _padded(rows: Sequence[Sequence[int]], max_tokens: int, pad_id: int) -> TokenBatch:
    ids = np.full((len(rows), max_tokens), pad_id, np.int32)
    mask = np.zeros((len(rows), max_tokens), bool)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = True
    return TokenBatch(ids, mask)
