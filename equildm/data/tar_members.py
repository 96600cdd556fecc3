"""The members of an uncompressed tar, or an error: never a part of them.

An archive ends with two blocks of zeros or more, and most writers fill it up with zeros to whole
records of 20 blocks. Archives that were joined (`cat a.tar b.tar`) are read one after the other, if
they are so filled up, or end with exactly two blocks of zeros. All else that is no header where a
header must be is damage: a file cut off, a header overwritten, zeros in place of members.
"""

import os
import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from ..runtime.address import FilePath
from .files import naming

BLOCK = tarfile.BLOCKSIZE
_RECORD = tarfile.RECORDSIZE
_STEP = 2**20
_NAME, _SIZE, _CHECKSUM = slice(0, 100), slice(124, 136), slice(148, 156)
_TYPE, _PREFIX = 156, 345
"""Fields of a header."""
_FAULTS = (tarfile.TarError, ValueError, OverflowError, EOFError, RecursionError)
"""What the parser of headers raises."""


class Member(NamedTuple):
    """A member, and the number of the archive in its file that it lies in."""

    name: str
    offset: int  # of its bytes
    size: int
    archive: int
    is_file: bool  # a plain one
    is_folder: bool


def tar_members(path: FilePath) -> Iterator[Member]:
    """All members of a tar, of any type.

    **Raises** `ValueError` for a compressed file, for one that is no tar, and for a damaged one;
    `OSError` where the file cannot be read.
    """
    try:
        with naming(path), path.open("rb") as file:
            size, archive, start, first = file.seek(0, os.SEEK_END), 0, 0, 0
            while True:
                tar = _opened(path, file, start)
                yield from _members(path, file, tar, archive)
                zeros = _zeros(file, tar.offset)
                start = tar.offset + zeros // BLOCK * BLOCK
                if tar.offset + zeros == size and zeros >= BLOCK:
                    return
                blocks = zeros // BLOCK
                is_end = blocks == 2 or (blocks > 2 and (start - first) % _RECORD == 0)
                if not is_end or size - start < BLOCK:
                    raise _damaged(path, start, _fault(size, start, zeros))
                archive, first = archive + 1, start
    except FileNotFoundError as error:
        raise ValueError(f"A tar must exist; got {str(path)!r}. Check the path.") from error


def _opened(path: FilePath, file: BinaryIO, start: int) -> tarfile.TarFile:
    file.seek(start)
    try:
        return tarfile.TarFile(fileobj=file, mode="r")
    except _FAULTS as error:
        if start:
            raise _damaged(path, start, str(error) or type(error).__name__) from error
        raise ValueError(
            f"A webdataset's tars must be uncompressed, for random access; {str(path)!r} is "
            f"compressed or no tar ({error}). Unpack a compressed one: gunzip {path.name}"
        ) from error


def _members(
    path: FilePath, file: BinaryIO, tar: tarfile.TarFile, archive: int
) -> Iterator[Member]:
    is_first = True  # it has been read already
    while True:
        member = None if is_first else _plain_member(file, tar, archive)
        is_first = False
        if member is None:
            try:
                # From elsewhere it looks whether the last member is complete.
                file.seek(max(0, tar.offset - 1))
                info = tar.next()
            except _FAULTS as error:
                raise _damaged(path, tar.offset, str(error) or type(error).__name__) from error
            if info is None:
                return
            is_file = info.isreg() and not info.issparse()
            place = (info.offset_data, info.size, archive)
            member = Member(info.name, *place, is_file, info.isdir())
            tar.members.clear()  # type: ignore[attr-defined]  # it collects all that it has read
        yield member


def _plain_member(file: BinaryIO, tar: tarfile.TarFile, archive: int) -> Member | None:
    """The next member, if its header is an ordinary one of a plain file, else None.

    Nearly all are, and `tarfile` takes three times as long for them.
    """
    file.seek(tar.offset)
    header = file.read(BLOCK)
    if len(header) < BLOCK or header[_TYPE] != ord("0") or header[_PREFIX] or tar.pax_headers:
        return None
    try:
        checksum = int(header[_CHECKSUM].split(b"\0")[0], 8)
        size = int(header[_SIZE].split(b"\0")[0], 8)
        name = header[_NAME].split(b"\0")[0].decode()
    except ValueError:
        return None
    # The checksum counts its own field as eight spaces.
    if sum(header) - sum(header[_CHECKSUM]) + 8 * ord(" ") != checksum or size < 0:
        return None
    offset = tar.offset + BLOCK
    tar.offset = offset + size + -size % BLOCK
    return Member(name, offset, size, archive, True, False)


def _zeros(file: BinaryIO, start: int) -> int:
    """Bytes of zeros from there on, up to a byte with something in it or the end."""
    file.seek(start)
    count = 0
    while data := file.read(_STEP):
        blank = len(data) - len(data.lstrip(b"\0"))
        count += blank
        if blank < len(data):
            break
    return count


def _fault(size: int, start: int, zeros: int) -> str:
    if start == size:
        return (
            "it ends without the blocks of zeros that close an archive. If it is complete but for "
            f"these, add them (head -c {2 * BLOCK} /dev/zero >> FILE)"
        )
    if size - start < BLOCK:
        return "it is cut off"
    if zeros >= BLOCK:
        return f"{zeros // BLOCK} blocks of zeros lie between members, where no archive ends"
    return "there is no valid header"


def _damaged(path: FilePath, offset: int, fault: str) -> ValueError:
    return ValueError(
        f"A tar must be complete; {str(path)!r} is damaged at byte {offset}: {fault}. Copy it "
        "again, or write it again."
    )
