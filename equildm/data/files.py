"""Reading files: which errors are of the data, and which of the machine.

A file that metadata name and that is not there is a fault of the data: one sample is unusable. All
other errors (no permission, a failing disk, too many open files, a network share that went away)
say nothing about the data. They pass, with the name of the file, and end the run.
"""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from .source import UnusableSample

_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Adds the file's name to a system error that has none, such as one of `read`."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def read_listed(path: Path) -> bytes:
    """The bytes of a file that was there when the data set was opened."""
    with naming(path):
        return path.read_bytes()


def read_mentioned(path: Path, name: str) -> bytes:
    """The bytes of a file that metadata mention.

    **Raises** `UnusableSample` if there is no such file.
    """
    try:
        return read_listed(path)
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
        raise UnusableSample("unreadable record", name, error.strerror or "") from error
    except ValueError as error:  # a name that no file can have
        raise UnusableSample("unreadable record", name, str(error)) from error
