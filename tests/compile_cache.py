"""The compile cache of the tests, which no session leaves larger than a limit."""

import contextlib
from pathlib import Path

LIMIT = 1 << 30
"""Bytes of the compile cache that a session may leave."""


def prune(folder: Path, limit: int) -> None:
    """Deletes the files that were read longest ago, until the folder holds at most `limit` bytes.

    jax's own limit (`jax_compilation_cache_max_size`) lists the folder for each entry that it adds.
    """
    files = []
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another session prunes it, too
            stat = path.stat()
            files.append((max(stat.st_atime_ns, stat.st_mtime_ns), stat.st_size, path))
    size = sum(length for _, length, _ in files)
    for _, length, path in sorted(files):
        if size <= limit:
            return
        path.unlink(missing_ok=True)
        size -= length
