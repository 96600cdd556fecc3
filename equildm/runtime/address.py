"""A file at an address, with those methods of a `Path` that readers of data use."""

import io
import os
from pathlib import Path, PurePosixPath
from typing import final, Literal, TypeAlias

from .remote import Entry, is_address, RemoteFolder
from .remote_file import open_address


@final
class Address:
    """A file at an address, or a folder. Threads may share one.

    **Arguments:**

    - `folder`: a folder that it lies in.
    - `name`: relative to that folder, with slashes.
    - `entry`: size and version, where they are known from a listing.
    """

    def __init__(self, folder: RemoteFolder, name: str, entry: Entry | None = None):
        self._folder, self._name, self._entry = folder, name, entry

    def __str__(self) -> str:
        return f"{self._folder.address}/{self._name}".rstrip("/")

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __truediv__(self, name: str) -> "Address":
        return Address(self._folder, f"{self._name}/{name}" if self._name else name)

    @property
    def parent(self) -> "Address":
        """The folder that it lies in."""
        if "/" in self._name:
            return Address(self._folder, self._name.rpartition("/")[0])
        return Address(self._folder, "") if self._name else _address(self._folder.address).parent

    @property
    def name(self) -> str:
        """The last part of it."""
        return str(self).rpartition("/")[2]

    @property
    def stem(self) -> str:
        """Its name without the suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The end of its name from the last dot on."""
        return PurePosixPath(self.name).suffix

    @property
    def entry(self) -> Entry:
        """Size and version, as they were when they were first asked for.

        **Raises** `FileNotFoundError`.
        """
        if self._entry is None:
            self._entry = self._folder.entry(self._name)
        return self._entry

    def is_file(self) -> bool:
        """Whether there is such a file."""
        try:
            return self.entry is not None
        except FileNotFoundError:
            return False

    def open(self, mode: Literal["rb"]) -> io.BufferedReader:
        """The file, see `open_address`."""
        del mode
        return open_address(str(self))

    def read_bytes(self) -> bytes:
        """All of the file. **Raises** `FileNotFoundError`."""
        content = self._folder.read(self._name)
        if content is None:
            raise FileNotFoundError(f"{self} is not there.")
        return content

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset` on, as `os.pread` gives them.

        **Raises** `OSError` if the file has changed since its `entry` was first asked for.
        """
        stop = min(offset + size, self.entry.size)
        return self._folder.read_unchanged(self._name, self.entry, offset, stop)

    def download(self, file: Path) -> None:
        """Copies the file. `file` appears when it is complete."""
        self._folder.download(self._name, file)


FilePath: TypeAlias = Path | Address
"""Where a file of data lies: on this machine, or at an address."""


def file_path(path: str | os.PathLike[str] | Address) -> FilePath:
    """A path, or an address, by its text."""
    if isinstance(path, Address):
        return path
    return _address(os.fspath(path)) if is_address(path) else Path(path)


def _address(text: str) -> Address:
    parent, _, name = text.rstrip("/").rpartition("/")
    return Address(RemoteFolder(parent), name)
