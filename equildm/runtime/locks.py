"""Locks between processes, on one machine or several, that share a folder and nothing else.

A lock on a unit of work is a file `<unit>.<generation>`, made with its content by a call that fails
if the file is there (`os.link`). Its owner touches it now and then. The lock of a dead owner is not
removed but superseded: the file of the next generation is made, by the same call, so that of
several processes that see the death only one succeeds. The holder is the owner of the highest
generation.

Whether a unit is done is known by its result, not by its lock. Whoever acquires a lock checks once
more whether the result is there; whoever has written a result then removes all locks on the unit.
So a process may be killed between any two instructions: what it had not finished is done again by
another, and what it had finished is not.
"""

import json
import os
import socket
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ._files import write_atomic
from .distributed import first_process
from .waiting import broadcast_from_first


class Locks:
    """The locks that one process holds in a folder.

    Use it as a context manager: locks that are still held are released at the end. Whether an owner
    is dead is known at once on the same machine (Linux). On another machine an owner counts as dead
    when its file was not touched for `stale` seconds by the clock of the file system.
    """

    def __init__(self, folder: str | os.PathLike[str], *, stale: float = 120.0):
        """**Arguments:**

        - `folder`: the same for every process; made if it is not there.
        - `stale`: seconds without a sign of life after which an owner counts as dead.
        """
        if stale <= 0:
            raise ValueError(f"`stale` is a time in seconds above 0, received {stale}.")
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.stale = stale
        self.owner = uuid.uuid4().hex
        self._record = json.dumps({"owner": self.owner, **this_process()})
        self._clock = self.folder / f".clock.{self.owner}"
        self._held: dict[str, Path] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> "Locks":
        self._heart.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._heart.join()
        for unit in list(self._held):
            self.release(unit)
        self._clock.unlink(missing_ok=True)

    def acquire(self, unit: str) -> bool:
        """Locks a unit; false if a living process holds it. Check then whether it is done."""
        newest = self._newest(unit)
        if newest is not None and not self._dead(newest):
            return False
        generation = 0 if newest is None else _generation(newest) + 1
        path = self.folder / f"{unit}.{generation}"
        try:
            self._create(path)
        except FileExistsError:
            return False
        with self._lock:
            self._held[unit] = path
        return True

    def clear(self, unit: str) -> None:
        """Removes every lock on a unit whose result is written."""
        self._forget(unit)
        for path in self._all(unit):
            path.unlink(missing_ok=True)

    def release(self, unit: str) -> None:
        """Gives up the lock on a unit that is not done."""
        path = self._forget(unit)
        if path is not None:
            path.unlink(missing_ok=True)

    def others(self) -> int:
        """How many other living processes hold locks now."""
        owners = set()
        for path in self.folder.iterdir():
            if not path.name.startswith(".") and not self._dead(path):
                owners.add(_content(path).get("owner"))
        return len(owners - {self.owner, None})

    def _create(self, path: Path) -> None:
        """Makes the file of a lock; `FileExistsError` if it is there."""
        part = self.folder / f".{path.name}.{self.owner}"
        part.write_text(self._record, encoding="utf-8")
        try:
            os.link(part, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without links: the name is there before the content
            with path.open("x", encoding="utf-8") as file:
                file.write(self._record)
        finally:
            part.unlink()

    def _forget(self, unit: str) -> Path | None:
        with self._lock:
            return self._held.pop(unit, None)

    def _all(self, unit: str) -> list[Path]:
        paths = [p for p in self.folder.iterdir() if p.name.rpartition(".")[0] == unit]
        return sorted(paths, key=_generation)

    def _newest(self, unit: str) -> Path | None:
        return next(reversed(self._all(unit)), None)

    def _dead(self, path: Path) -> bool:
        owner = _content(path)
        if owner.get("owner") == self.owner:
            return False
        if is_of_this_machine(owner):
            return died_here(owner)
        try:
            touched = path.stat().st_mtime
        except FileNotFoundError:  # released or cleared meanwhile
            return False
        return self._now() - touched > self.stale

    def _now(self) -> float:
        """The time by the clock of the file system, which all machines share."""
        write_atomic(self._clock, "")
        return self._clock.stat().st_mtime

    def _beat(self) -> None:
        while not self._stop.wait(self.stale / 6):
            with self._lock:
                held = list(self._held.values())
            for path in held:
                try:
                    os.utime(path)
                except FileNotFoundError:
                    continue


def _generation(path: Path) -> int:
    number = path.name.rpartition(".")[2]
    return int(number) if number.isdigit() else -1


def _content(path: Path) -> dict:
    """What a lock's file says of its owner; empty if the file is gone or cut off."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    complete = isinstance(record, dict) and isinstance(record.get("pid"), int)
    return record if complete and {"owner", "machine", "start"} <= set(record) else {}


def is_of_this_machine(owner: Mapping[str, object]) -> bool:
    """Whether the process that `this_process` described was one of this boot of this machine."""
    return owner.get("machine") is not None and owner["machine"] == _machine()


def died_here(owner: Mapping[str, Any]) -> bool:
    """Whether the process that `this_process` described was of this machine and has ended."""
    return is_of_this_machine(owner) and _start_of(owner["pid"]) != owner["start"]


def this_process() -> dict[str, str | int | None]:
    """What tells this process from every other one."""
    return {"machine": _machine(), "pid": os.getpid(), "start": _start_of(os.getpid())}


def _machine() -> str | None:
    """This boot of this machine and this space of process numbers; None where that is not known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _start_of(pid: int) -> str | None:
    """When a living process began, which distinguishes it from a later one of its number."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else fields[19]


@contextmanager
def exclusive(folder: Path, unit: str, refusal: str, *, stale: float = 120.0) -> Iterator[None]:
    """Holds a lock on a unit of work while the block runs. Every process of a launch calls this.

    A launch that was killed loses its lock: see `Locks`.

    **Arguments:**

    - `folder`: of the lock, see `Locks`.
    - `unit`: name of the work.
    - `refusal`: the error's text where another launch holds the lock.
    - `stale`: see `Locks`.

    **Raises** `ValueError`, on every process, if another launch that lives holds the lock.
    """
    if not first_process():
        if not broadcast_from_first(None):
            raise ValueError(refusal)
        yield
        return
    with Locks(folder, stale=stale) as locks:
        if not broadcast_from_first(int(locks.acquire(unit))):
            raise ValueError(refusal)
        yield
