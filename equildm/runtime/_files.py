"""Writing a file or a folder completely or not at all."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary name beside `path` that becomes `path` on leaving without an error.

    A folder only takes a name that is free.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        temporary.unlink(missing_ok=True)


def write_atomic(path: Path, text: str) -> None:
    """Replaces `path` by `text`: a reader, or a process killed meanwhile, sees old or new."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, document: object) -> None:
    """Replaces `path` by a document of plain JSON, see `write_atomic`."""
    write_atomic(path, json.dumps(document, indent=2) + "\n")


def write_all(file: BinaryIO, data: bytes) -> None:
    """Writes to a file without a buffer. The system may take a part at a time."""
    while data:
        data = data[file.write(data) :]
