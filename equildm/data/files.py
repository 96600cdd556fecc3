"""Reading files: which errors are of the data, and which of the machine.

A file that metadata name and that is not there is a fault of the data: one sample is unusable. All
other errors (no permission, a failing disk, too many open files, a network share or an address that
went away) say nothing about the data. They pass, with the name of the file, and end the run.
"""

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence

from ..runtime.address import FilePath
from .source import UnusableSample

_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}


def distinct_names(paths: Sequence[FilePath]) -> list[str]:
    """The names of files; where two are alike, all with the folders that tell them apart."""
    names = [path.name for path in paths]
    if len(set(names)) == len(names):
        return names
    parts = [str(path).replace(os.sep, "/").split("/") for path in paths]
    alike = (len(set(level)) == 1 for level in zip(*parts, strict=False))
    depth = next((number for number, same in enumerate(alike) if not same), 0)
    return ["/".join(part[depth:]) for part in parts]


@contextlib.contextmanager
def naming(path: FilePath) -> Iterator[None]:
    """Adds the file's name to a system error that has none, such as one of `read`."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def is_of_machine(error: Exception) -> bool:
    """Whether an error says that a file could not be read, and nothing about what is in it."""
    if isinstance(error, ConnectionError | FileNotFoundError):  # of an address they have no number
        return True
    return isinstance(error, OSError) and error.errno is not None


def read_listed(path: FilePath) -> bytes:
    """The bytes of a file that was there when the data set was opened."""
    with naming(path):
        return path.read_bytes()


def read_mentioned(path: FilePath, name: str) -> bytes:
    """The bytes of a file that metadata mention.

    **Raises** `UnusableSample` if there is no such file.
    """
    try:
        return read_listed(path)
    except OSError as error:
        if error.errno not in _ABSENT and not isinstance(error, FileNotFoundError):
            raise
        raise UnusableSample("unreadable record", name, error.strerror or "") from error
    except ValueError as error:  # a name that no file can have
        raise UnusableSample("unreadable record", name, str(error)) from error
