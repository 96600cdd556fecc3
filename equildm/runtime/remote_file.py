"""Files at an address, opened for reading some of their bytes."""

import io
import os

from .remote import RemoteFolder


def open_address(address: str, *, buffer: int = 2**20) -> io.BufferedReader:
    """Opens a file at an address for reading, as `open(path, "rb")` does for a path.

    Only the bytes that are asked for are copied, and an outage is waited for: see `RemoteFolder`.

    **Arguments:**

    - `address`: of the file.
    - `buffer`: bytes that are copied at least; small for reads at random places.

    **Raises** `FileNotFoundError` if there is no such file, `OSError` if it changes meanwhile.
    """
    return io.BufferedReader(_RemoteFile(address), buffer)


class _RemoteFile(io.RawIOBase):
    mode = "rb"

    def __init__(self, address: str):
        parent, _, self._file = address.rpartition("/")
        self.name = address
        self._folder = RemoteFolder(parent)
        self._entry = self._folder.entry(self._file)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origins = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._entry.size}
        position = origins[whence] + offset
        if position < 0:
            raise OSError(f"Positions in a file begin at 0, received {position} for {self.name}.")
        self._position = position
        return position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        content = self._next(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def readall(self) -> bytes:
        return self._next(self._entry.size)

    def _next(self, size: int) -> bytes:
        stop = min(self._position + size, self._entry.size)
        if stop <= self._position:
            return b""
        content = self._folder.read_unchanged(self._file, self._entry, self._position, stop)
        self._position = stop
        return content
