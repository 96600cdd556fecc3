"""Making a data set of a cache at an address: once, by one launch, in a local copy.

All processes of the launch share the work, whether they share a disk or not: each copies what it
has encoded to the address, and the first one makes the tables of it.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import final

import jax

from ..runtime import barrier, broadcast_from_first, first_process
from ..runtime.remote_lock import RemoteLock
from ..runtime.repeating import Repeating
from .cache_copies import CacheCopies

_log = logging.getLogger("equildm.data")

_EVERY = 15.0
"""Seconds between two copies to the address in the background."""
_PAUSE = 20.0
"""Seconds between two looks whether another launch is done."""


@final
class CacheMirror:
    """One data set in a folder of caches at an address. Arguments are those of `CacheCopies`."""

    def __init__(self, address: str, name: str, stores: Sequence[str]):
        self._copies = CacheCopies(address, name, stores)
        self._finished = self._copies.folder / name
        self._lock: RemoteLock | None = None
        self._pushing = Repeating(
            self._push,
            _EVERY,
            lambda e: _log.warning("%s Encoding goes on; its end needs the address.", e),
            name="remote cache",
        )

    def make_once(self, make: Callable[[int], None]) -> None:
        """Calls `make` with the number of processes, unless the data set is at the address.

        Afterwards it is there, and in the local copy. Every process calls this. Another launch that
        makes the same data set is waited for. `make` calls `share` once all is encoded.

        **Raises** `OSError` if another launch has taken over meanwhile.
        """
        if first_process():
            self._lock = RemoteLock(self._copies.remote.inside(self._copies.part))
        is_waiting = False
        while not _agreed(self._copies.is_complete):
            if _agreed(lambda: self._lock is not None and self._lock.acquire()):
                try:
                    if not _agreed(self._copies.is_complete):
                        self._make(make)
                finally:
                    if self._lock is not None:
                        self._lock.release()
                break
            if not is_waiting and first_process():
                _log.warning("another launch makes this cache: waiting for it")
            is_waiting = True
            time.sleep(_PAUSE)
        self._copies.fetch()
        barrier("a cache is copied")

    def share(self) -> None:
        """Copies what this process has encoded to the address, and on the first one all of it back.

        **Raises** `OSError` if another launch has taken over meanwhile.
        """
        self._pushing.stop(wait=True)
        self._push()
        if jax.process_count() > 1:
            barrier("a cache's parts are at the address")
            if first_process():
                self._copies.pull()

    def _make(self, make: Callable[[int], None]) -> None:
        self._copies.pull(only_these=True)
        barrier("a cache's parts are copied")
        with self._removing_refused():
            if not _agreed(self._finished.exists):
                self._pushing.start()
                try:
                    make(jax.process_count())
                finally:
                    self._pushing.stop()
            if first_process():
                self._check_lock()
                self._copies.push_dataset()
        barrier("a cache is at the address")

    @contextlib.contextmanager
    def _removing_refused(self) -> Iterator[None]:
        """Segments that are removed here by an error, see `Segments`, are removed there too."""
        try:
            yield
        except ValueError:
            if first_process() and not (self._copies.folder / self._copies.part).exists():
                with contextlib.suppress(OSError, ValueError):
                    self._copies.forget()
            raise

    def _push(self) -> None:
        self._check_lock()
        self._copies.push()

    def _check_lock(self) -> None:
        if self._lock is not None and not self._lock.is_held():
            raise OSError(
                f"One launch at a time makes a data set, and another one went on with that in "
                f"{self._copies.remote.address} while this one could not be heard. Launch again: "
                "what was encoded is there."
            )


def _agreed(decide: Callable[[], bool]) -> bool:
    """What the first process decides, on all of them."""
    return bool(broadcast_from_first(int(decide()) if first_process() else None))
