"""Tar files in the webdataset layout: members of one sample share a key."""

import itertools
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, final, NamedTuple

import numpy as np
from jaxtyping import Int

from ..runtime.address import Address, file_path, FilePath
from .caption_text import clean_captions, decoded, parsed_json, printable
from .decode import IMAGE_SUFFIXES
from .file_source import AbstractFileSource
from .files import distinct_names, naming
from .handles import Handles
from .index_table import index_table
from .remarks import Remarks
from .source import digest, file_identity, READING, UnusableSample
from .tar_members import Member, tar_members

_CAPTIONS = (".txt", ".caption", ".json")
"""Suffixes of captions; of several under one key the first in this order is used. A field that is
asked for is one of `.json`."""


INDEX = 2
"""Version of the tables of members."""
_TOGETHER = 8
"""Tars at an address whose headers are read at once."""


class _Span(NamedTuple):
    offset: int
    size: int


_NOWHERE = _Span(-1, 0)


class _Sample(NamedTuple):
    """A row of the table."""

    name: str
    tar: int  # its number
    image: int  # offset
    image_size: int
    caption: int  # offset, or -1 for a sample without a caption
    caption_size: int
    kind: str  # the suffix of the caption


@final
class _OpenTar:
    """A descriptor that is closed when nothing refers to it."""

    def __init__(self, path: Path):
        with path.open("rb") as file:
            self.descriptor = os.dup(file.fileno())

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset` on."""
        return os.pread(self.descriptor, size, offset)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):  # else it could not be opened
            os.close(self.descriptor)


@final
class WebDatasetSource(AbstractFileSource):
    """Images with captions in uncompressed tars, read by offset.

    The key of a member is its path up to the first dot of the file name, the rest is its suffix.
    A sample is an image member with a `.txt` or `.caption` member of the same key, or with a
    `.json` member that has a field `caption` or `text` (or `caption_field`): a text, or a list of
    several captions. Where a key has images
    under longer suffixes alone, as of `a.v2.png`, each is a sample, whose key reaches up to the
    last dot; a caption of the shorter key is then the caption of all of them.

    The headers of the tars are read once, by the constructor, into an `index_table`; nothing is
    unpacked to disk, and every sample is one seek away; of tars at an address, one request.
    Archives that were joined to one file are all read. Members that are not used are counted in
    `remarks`, by suffix, and the log names the first ones.

    **Raises** `ValueError` for a file that is no tar, for a damaged or truncated tar, for a
    compressed one, which has no random access, and for tars without an image.
    """

    def __init__(self, tars: Sequence[str | FilePath], *, caption_field: str | None = None):
        paths = [file_path(tar) for tar in tars]
        if not paths:
            raise ValueError(
                "A webdataset must have at least one tar; got none. Check the pattern."
            )
        self._fields = ("caption", "text") if caption_field is None else (caption_field,)
        self._suffixes = _CAPTIONS if caption_field is None else (".json",)
        self._paths = paths
        self._tars = Handles(self._open)
        identities = [file_identity(path) if path.is_file() else str(path) for path in paths]
        label = paths[0].name if len(paths) == 1 else str(paths[0].parent)
        super().__init__(
            digest(["webdataset", READING, self._fields, *identities]),
            Remarks(label),
            label,
            distinct_names(paths),
        )
        chosen = () if caption_field is None else self._suffixes
        key = self._key("members", INDEX, READING, *chosen, *identities)
        self._samples = index_table(key, label, _schema(), self._scan)
        self._remarks.restore(self._samples.about["remarks"])
        self._remarks.log()
        if len(self) == 0:
            raise ValueError(
                f"A webdataset must hold image members ({', '.join(IMAGE_SUFFIXES)}); "
                f"{', '.join(map(str, paths))} holds none. Check the path."
            )

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def file_starts(self) -> Int[np.ndarray, "files"]:
        return np.flatnonzero(np.diff(self._samples.column("tar"), prepend=-1))

    def name(self, index: int) -> str:
        (name,) = self._samples.row(index, "name")
        return name

    def _read_image(self, index: int) -> bytes:
        tar, *span = self._samples.row(index, "tar", "image", "image_size")
        return self._read(tar, _Span(*span))

    def _read_captions(self, index: int) -> tuple[str, ...]:
        sample = _Sample(*self._samples.row(index, *_Sample._fields))
        if sample.caption < 0:
            raise UnusableSample("missing caption", sample.name)
        value: Any = decoded(self._read(sample.tar, _Span(sample.caption, sample.caption_size)))
        if sample.kind == ".json":
            try:
                record = parsed_json(value)
            except ValueError as error:
                raise UnusableSample("unreadable record", sample.name, f"json: {error}") from error
            fields = record if isinstance(record, dict) else {}
            value = next((fields[x] for x in self._fields if fields.get(x) is not None), None)
        return clean_captions(value, sample.name, self._remarks.of_sample(index, sample.name))

    def _read(self, tar: int, span: _Span) -> bytes:
        path = self._paths[tar]
        with naming(path):
            data = self._tars[tar].pread(span.size, span.offset)
        if len(data) != span.size:
            raise OSError(f"{path} was cut off after it was opened. Copy it again.")
        return data

    def _open(self, tar: int) -> "_OpenTar | Address":
        path = self._paths[tar]
        if isinstance(path, Address):
            return path
        with naming(path):
            return _OpenTar(path)

    def _scan(self) -> Generator[_Sample, None, dict[str, Any]]:
        for number, members in enumerate(_members(self._paths)):
            name = self._file_names[number]
            yield from _samples(number, name, members, self._suffixes, self._remarks)
        return {"remarks": self._remarks.tallies()}


def _schema() -> Any:
    import pyarrow as pa

    numbers = ("image", "image_size", "caption", "caption_size")
    return pa.schema(
        [
            *(("name", pa.string()), ("tar", pa.int32())),
            *((name, pa.int64()) for name in numbers),
            ("kind", pa.string()),
        ]
    )


def _members(paths: Sequence[FilePath]) -> Iterator[Iterable[Member]]:
    """The members of each tar. Of tars at an address some are read at once."""
    with ThreadPoolExecutor(_TOGETHER) as pool:
        ahead: deque[Future[list[Member]]] = deque()
        remote = iter([path for path in paths if isinstance(path, Address)])
        for path in paths:
            if not isinstance(path, Address):
                yield tar_members(path)
                continue
            for another in itertools.islice(remote, _TOGETHER - len(ahead)):
                ahead.append(pool.submit(_listed, another))
            yield ahead.popleft().result()


def _listed(path: FilePath) -> list[Member]:
    return list(tar_members(path))


def _samples(
    number: int,
    tar: str,
    members: Iterable[Member],
    captions: Sequence[str],
    remarks: Remarks,
) -> Iterator[_Sample]:
    groups: dict[tuple[int, str], dict[str, _Span]] = {}  # suffixes by archive and key
    archives = 0
    for member in members:
        archives = member.archive + 1
        folder, slash, file = member.name.rpartition("/")
        stem, dot, suffix = file.partition(".")
        if member.is_folder:
            continue
        if not member.is_file:
            reason = "member that is a link or no plain file, not used"
            remarks.add(reason, f"{tar}:{printable(member.name)}")
        elif not stem:
            remarks.add("hidden member, not used", f"{tar}:{printable(member.name)}")
        else:
            group = groups.setdefault((member.archive, folder + slash + stem), {})
            if dot + suffix in group:
                reason = "earlier member of a name that comes again, not used"
                remarks.add(reason, f"{tar}:{printable(member.name)}")
            group[dot + suffix] = _Span(member.offset, member.size)
    if archives > 1:
        remarks.add("archive after the first in one file, used", tar, archives - 1)
    for (archive, key), group in groups.items():
        place = f"{tar}:" if archive == 0 else f"{tar}#{archive + 1}:"
        yield from _of_group(number, place, key, group, captions, remarks)


def _of_group(
    number: int,
    place: str,
    key: str,
    group: dict[str, _Span],
    captions: Sequence[str],
    remarks: Remarks,
) -> Iterator[_Sample]:
    """The samples of one key: mostly one. The other members are counted."""
    parts = {suffix: _parted(suffix) for suffix in group}
    images = [suffix for suffix, (_, last) in parts.items() if last in IMAGE_SUFFIXES]
    plain = [suffix for suffix in images if not parts[suffix][0]]
    unused = set(group)
    for image in {parts[suffix][0]: suffix for suffix in reversed(plain or images)}.values():
        stem, _ = parts[image]
        names = {part: suffix for suffix, part in parts.items()}
        texts = (names.get((start, last)) for start in (stem, "") for last in captions)
        text = next((suffix for suffix in texts if suffix is not None), None)
        unused -= {image, text}
        kind, span = ("", _NOWHERE) if text is None else (parts[text][1], group[text])
        yield _Sample(place + printable(key + stem), number, *group[image], *span, kind)
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
