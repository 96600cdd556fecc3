"""Captions as they lie in files -> clean text."""

import codecs
import json
import re
from typing import Any

from .remarks import ignore, Note
from .source import UnusableSample

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NO_WORDS = re.compile(r"[-+]?\d+([.,]\d+)?|nan|none|null|true|false", re.IGNORECASE)
_SURROGATES = re.compile("[\ud800-\udfff]")

UNREADABLE = "caption with characters that cannot be read, replaced"
NO_WORDS = "caption that is a number or a word for none, used"
UNUSED = "entry of a list of captions that is no readable text, not used"
BESIDE = "line of metadata without the caption field, the text of the file beside the image is used"
READ_REMARKS = UNREADABLE, NO_WORDS, UNUSED, BESIDE
"""What is met when captions are read."""


def encoding_of(data: bytes) -> str:
    """The encoding of text by its first four bytes: UTF-8, but for a mark of another."""
    return next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")


def decoded(data: bytes) -> str:
    """Text of a file, without its mark; U+FFFD stands for what cannot be read."""
    return data.decode(encoding_of(data), errors="replace")


def parsed_json(text: str) -> Any:
    """The value of a JSON text. **Raises** `ValueError` for any text that is not JSON."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def printable(name: str) -> str:
    """A name for logs: bytes of a file's name that are no UTF-8 become escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def clean_captions(value: object, name: str, note: Note = ignore) -> tuple[str, ...]:
    """The different captions of a sample, without surrounding or repeated white space.

    Lone surrogates, which JSON can hold and UTF-8 cannot, become U+FFFD.

    **Arguments:**

    - `value`: what the data set holds as a caption: a text, or a list of them.
    - `name`: of the sample.
    - `note`: counts entries of a list that cannot be used, captions with characters that could not
        be read, and those that are only a number, as a class without a name is.

    **Raises** `UnusableSample` if no text is left, or if it has NUL characters, as UTF-16 without a
    mark has. Of a list, if that holds for every entry.
    """
    captions: dict[str, None] = {}
    faults: list[UnusableSample] = []
    for entry in value if isinstance(value, list | tuple) else (value,):
        try:
            captions[_clean(entry, name)] = None
        except UnusableSample as error:
            faults.append(error)
    if not captions:
        raise faults[0] if faults else UnusableSample("missing caption", name, "an empty list")
    if faults:
        note(UNUSED, len(faults))
    if numbers := sum(map(bool, map(_NO_WORDS.fullmatch, captions))):
        note(NO_WORDS, numbers)
    if unreadable := sum("\ufffd" in caption for caption in captions):
        note(UNREADABLE, unreadable)
    return tuple(captions)


def _clean(value: object, name: str) -> str:
    if value is None:
        raise UnusableSample("missing caption", name)
    if not isinstance(value, str):
        raise UnusableSample("missing caption", name, f"not text but {type(value).__name__}")
    if "\0" in value:
        raise UnusableSample("unreadable caption", name, "NUL characters; save it as UTF-8")
    caption = " ".join(_SURROGATES.sub("\ufffd", value).lstrip("\ufeff").split())
    if not caption:
        raise UnusableSample("missing caption", name, "empty")
    return caption
