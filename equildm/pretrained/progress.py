"""A progress line for weights that are read or written."""

import contextlib
from collections.abc import Iterator

from ..interop.mapping import Advance
from ..runtime import Progress


@contextlib.contextmanager
def byte_progress(label: str, total: int) -> Iterator[Advance]:
    """Shows how many of `total` bytes are done. Call it with the bytes of each tensor."""
    done = 0
    with Progress(max(1, total >> 20), label=label, unit="MiB") as progress:

        def advance(size: int) -> None:
            nonlocal done
            done += size
            progress.update(min(done, total) >> 20)

        yield advance
