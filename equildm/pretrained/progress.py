"""A progress line for weights that are read or written."""

import contextlib
from collections.abc import Iterator

from ..interop.mapping import Advance
from ..runtime import Progress

QUIET = 64 << 20
"""Bytes below which weights are read or written before anyone has read a line."""


@contextlib.contextmanager
def byte_progress(label: str, total: int) -> Iterator[Advance]:
    """Shows how many of `total` bytes are done, if they are many. Call it with each tensor's."""
    if total < QUIET:
        yield lambda size: None
        return
    done = 0
    with Progress(max(1, total >> 20), label=label, unit="MiB") as progress:

        def advance(size: int) -> None:
            nonlocal done
            done += size
            progress.update(min(done, total) >> 20)

        yield advance
