"""A lock at an address, for one launch at a time.

The lock is an object with the holder's name and a number that the holder raises now and then. A
launch that sees the number rise is refused; one that does not see it rise for long takes the lock
over. No clock is compared with another machine's. A holder that died on this very machine is known
at once.
"""

import atexit
import contextlib
import json
import socket
import threading
import time
import uuid

from .distributed import log
from .locks import died_here, this_process
from .remote import RemoteFolder

NAME = "lock.json"
"""Name of the object."""


class RemoteLock:
    """A lock on a folder at an address, held by this process until `release` or its end."""

    def __init__(self, folder: RemoteFolder, *, beat: float = 10.0, stale: float = 60.0):
        """**Arguments:**

        - `folder`: what is locked.
        - `beat`: seconds between two signs of life.
        - `stale`: seconds without one after which a holder counts as dead. Above three beats.
        """
        self.folder = folder
        self.beat = beat
        self.stale = stale
        self.lost = False
        self._owner = uuid.uuid4().hex
        self._beats = 0
        self._stop = threading.Event()
        self._heart = threading.Thread(target=self._live, daemon=True, name="remote lock")

    def acquire(self) -> bool:
        """Takes the lock; false if a launch that lives holds it.

        Returns at once where nobody holds it, else once the holder's next sign of life has come or
        failed to come.
        """
        seen, since = None, time.monotonic()
        while True:
            record = self._read()
            if record.get("owner") == self._owner:
                break
            waited = time.monotonic() - since
            if not record or died_here(record) or (record == seen and waited > self.stale):
                self._write()
                time.sleep(self.beat / 10)  # others may have seen the same: the last one has it
            elif seen is None:
                seen, since = record, time.monotonic()
                log(
                    f"Another launch, on {record.get('host')}, held {self.folder.address}. Waiting "
                    f"{self.stale:g} s at most for a sign of its life."
                )
            elif record != seen:
                return False
            else:
                time.sleep(self.beat / 10)
        if not self._heart.is_alive():
            self._heart.start()
        atexit.register(self.release)
        return True

    def release(self) -> None:
        """Gives the lock up. Calling it again does nothing."""
        atexit.unregister(self.release)
        if self._stop.is_set():
            return
        self._stop.set()
        if self._heart.is_alive():
            self._heart.join()
        self.folder = self.folder.with_patience(10.0)
        with contextlib.suppress(ConnectionError):  # then it grows stale
            if not self.lost and self._read().get("owner") == self._owner:
                self.folder.remove([NAME])

    def is_held(self) -> bool:
        """Whether the lock is still this one's, by a look at the address."""
        self.lost = self.lost or self._read().get("owner", self._owner) != self._owner
        return not self.lost

    def check(self) -> None:
        """**Raises** `ValueError` if another launch has taken the lock over meanwhile."""
        if self.lost:
            raise ValueError(
                f"One launch at a time trains a run, and another one went on with "
                f"{self.folder.address} while this one could not be heard. It ends here; that one "
                "is in charge."
            )

    def _live(self) -> None:
        while not self._stop.wait(self.beat):
            try:
                if self._read().get("owner", self._owner) != self._owner:
                    self.lost = True
                    return
                self._write()
            except (ConnectionError, ValueError):
                continue  # an outage: whoever writes next says so

    def _read(self) -> dict:
        content = self.folder.read(NAME)
        try:
            record = json.loads(content or b"{}")
        except ValueError:
            return {}
        return record if isinstance(record, dict) else {}

    def _write(self) -> None:
        self._beats += 1
        host = {"owner": self._owner, "beats": self._beats, "host": socket.gethostname()}
        self.folder.write(NAME, json.dumps(host | this_process()).encode())
