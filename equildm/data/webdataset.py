"""Tar files in the webdataset layout: members of one sample share a key."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, final, NamedTuple

import numpy as np
from jaxtyping import UInt8

from .caption_text import clean_caption, decoded, parsed_json, printable
from .decode import IMAGE_SUFFIXES, stored_image
from .files import naming
from .remarks import Remarks
from .source import AbstractSource, digest, file_identity, READING, StoredImage, UnusableSample
from .tar_members import tar_members

_CAPTIONS = (".txt", ".caption", ".json")
"""Suffixes of captions; of several under one key the first in this order is used."""


class _Span(NamedTuple):
    offset: int
    size: int


class _Sample(NamedTuple):
    name: str
    tar: Path
    image: _Span
    caption: tuple[str, _Span] | None  # its suffix and where it is


@final
class WebDatasetSource(AbstractSource):
    """Images with captions in uncompressed tars, read by offset.

    The key of a member is its path up to the first dot of the file name, the rest is its suffix.
    A sample is an image member with a `.txt` or `.caption` member of the same key, or with a
    `.json` member that has a field `caption` or `text` (or `caption_field`). Where a key has images
    under longer suffixes alone, as of `a.v2.png`, each is a sample, whose key reaches up to the
    last dot; a caption of the shorter key is then the caption of all of them.

    The headers of the tars are read once, by the constructor; nothing is unpacked to disk, and
    every sample is one seek away. Archives that were joined to one file are all read. Members that
    are not used are counted in `remarks`, by suffix, and the log names the first ones.

    **Raises** `ValueError` for a file that is no tar, for a damaged or truncated tar, for a
    compressed one, which has no random access, and for tars without an image.
    """

    def __init__(self, tars: Sequence[str | Path], *, caption_field: str | None = None):
        paths = [Path(tar) for tar in tars]
        if not paths:
            raise ValueError(
                "A webdataset must have at least one tar; got none. Check the pattern."
            )
        self._fields = ("caption", "text") if caption_field is None else (caption_field,)
        self._remarks = Remarks(paths[0].name if len(paths) == 1 else str(paths[0].parent))
        self._samples = [sample for path in paths for sample in _samples(path, self._remarks)]
        self._remarks.log()
        if not self._samples:
            raise ValueError(
                f"A webdataset must hold image members ({', '.join(IMAGE_SUFFIXES)}); "
                f"{', '.join(map(str, paths))} holds none. Check the path."
            )
        self._fingerprint = digest(
            ["webdataset", READING, self._fields, *(file_identity(path) for path in paths)]
        )

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def remarks(self) -> Remarks:
        return self._remarks

    def __len__(self) -> int:
        return len(self._samples)

    def name(self, index: int) -> str:
        return self._samples[index].name

    def caption(self, index: int) -> str:
        name, tar, _, text = self._samples[index]
        if text is None:
            raise UnusableSample("missing caption", name)
        note = self._remarks.of_sample(index, name)
        suffix, span = text
        value: Any = decoded(_read(tar, span))
        if suffix == ".json":
            try:
                record = parsed_json(value)
            except ValueError as error:
                raise UnusableSample("unreadable record", name, f"json: {error}") from error
            fields = record if isinstance(record, dict) else {}
            value = next((fields[x] for x in self._fields if fields.get(x) is not None), None)
        return clean_caption(value, name, note)

    def image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        return self.stored(index).decode()

    def stored(self, index: int) -> StoredImage:
        name, tar, span, _ = self._samples[index]
        return stored_image(_read(tar, span), name, self._remarks.of_sample(index, name))


def _read(tar: Path, span: _Span) -> bytes:
    # Opened for each read, in 20 microseconds: threads share no state.
    with naming(tar), tar.open("rb") as file:
        file.seek(span.offset)
        data = file.read(span.size)
    if len(data) != span.size:
        raise OSError(f"{tar} was cut off after it was opened. Copy it again.")
    return data


def _samples(path: Path, remarks: Remarks) -> Iterator[_Sample]:
    groups: dict[tuple[int, str], dict[str, _Span]] = {}  # suffixes by archive and key
    archives = 0
    for info, archive in tar_members(path):
        archives = archive + 1
        name = f"{path.name}:{printable(info.name)}"
        folder, slash, file = info.name.rpartition("/")
        stem, dot, suffix = file.partition(".")
        if info.isdir():
            continue
        if not info.isreg() or info.issparse():
            remarks.add("member that is a link or no plain file, not used", name)
        elif not stem:
            remarks.add("hidden member, not used", name)
        else:
            group = groups.setdefault((archive, folder + slash + stem), {})
            if dot + suffix in group:
                remarks.add("earlier member of a name that comes again, not used", name)
            group[dot + suffix] = _Span(info.offset_data, info.size)
    if archives > 1:
        remarks.add("archive after the first in one file, used", path.name, archives - 1)
    for (archive, key), group in groups.items():
        place = f"{path.name}:" if archive == 0 else f"{path.name}#{archive + 1}:"
        yield from _of_group(path, place, key, group, remarks)


def _of_group(
    path: Path, place: str, key: str, group: dict[str, _Span], remarks: Remarks
) -> Iterator[_Sample]:
    """The samples of one key: mostly one. The other members are counted."""
    parts = {suffix: _parted(suffix) for suffix in group}
    images = [suffix for suffix, (_, last) in parts.items() if last in IMAGE_SUFFIXES]
    plain = [suffix for suffix in images if not parts[suffix][0]]
    unused = set(group)
    for image in {parts[suffix][0]: suffix for suffix in reversed(plain or images)}.values():
        stem, _ = parts[image]
        names = {part: suffix for suffix, part in parts.items()}
        texts = (names.get((start, last)) for start in (stem, "") for last in _CAPTIONS)
        text = next((suffix for suffix in texts if suffix is not None), None)
        unused -= {image, text}
        kind = None if text is None else (parts[text][1], group[text])
        yield _Sample(place + printable(key + stem), path, group[image], kind)
    for suffix in group:
        if suffix in unused:
            last = parts[suffix][1]
            reason = f"member ending in {last}" if last else "member without a suffix"
            if last in IMAGE_SUFFIXES:
                reason = "further image of a key"
            elif last in _CAPTIONS and not images:
                reason = "caption without an image"
            remarks.add(f"{reason}, not used", place + printable(key + suffix))


def _parted(suffix: str) -> tuple[str, str]:
    """ ".v2.PNG" is (".v2", ".png")."""
    stem, dot, last = suffix.rpartition(".")
    return stem, (dot + last).lower()
