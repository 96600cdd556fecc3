"""A folder that is made once: by one launch, with all of its processes, whole or not at all."""

import contextlib
import fcntl
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import jax

from ..runtime import barrier, broadcast_from_first, first_process

_log = logging.getLogger("equildm.data")

_WAITING = "another launch makes this cache: waiting for it"


def made_once(finished: Path, make: Callable[[int], None]) -> None:
    """Calls `make` with the number of processes that share the work, unless `finished` is there.

    Every process of the launch calls this. Processes whose machines have disks of their own make a
    folder each, and share no work. Another launch that needs the same folder waits.
    """
    finished.parent.mkdir(parents=True, exist_ok=True)
    lock = finished.with_name(f".{finished.name}.lock")
    if jax.process_count() == 1 or not _is_shared(finished.parent):
        if not finished.exists():
            with one_at_a_time(lock, _WAITING):
                if not finished.exists():
                    make(1)
        return
    if broadcast_from_first(int(finished.exists())):
        return
    with one_at_a_time(lock, _WAITING) if first_process() else contextlib.nullcontext():
        if not broadcast_from_first(int(finished.exists())):
            make(jax.process_count())
        barrier("a cache is made")


def _is_shared(folder: Path) -> bool:
    """Whether all processes see one folder, and not each a folder of its own machine."""
    from jax.experimental import multihost_utils

    mark = folder / f".{broadcast_from_first(time.time_ns() if first_process() else None)}.mark"
    if first_process():
        mark.touch()
    barrier("a folder is marked")
    seen = multihost_utils.process_allgather(mark.exists())
    if first_process():
        mark.unlink()
    return bool(seen.all())


@contextlib.contextmanager
def one_at_a_time(lock: Path, waiting: str) -> Iterator[None]:
    """A lock that one process holds at a time. The system releases it when that process ends.

    `waiting` is what the log says where another process holds it.
    """
    with lock.open("w") as file:
        if not _acquire(file):
            _log.warning("%s", waiting)
        while not _acquire(file):
            time.sleep(0.2)  # ctrl-C ends it
        yield


def _acquire(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def appears_whole(folder: Path) -> Iterator[Path]:
    """A folder to write in. It gets its name if the block succeeds, else it is removed."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    # Under the lock: a folder that is there was left by a process that died.
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
