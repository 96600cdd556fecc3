"""The local copy of a run folder at an address: pulled when it is opened, pushed as it grows.

Everything but the checkpoints (see `RemoteCheckpoints`) is read and written in the copy. It lies in
the user's cache folder, is never trusted without a look at the address, and may be deleted at any
time. A launch that trains and those who read have copies of their own.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from ._files import write_json
from .compile_cache import cache_folder
from .distributed import first_process, log
from .remote import copy_together, Entry, is_address, local_path, RemoteFolder
from .remote_lock import NAME as LOCK, RemoteLock
from .repeating import Repeating
from .waiting import barrier, broadcast_from_first

CHECKPOINTS = ("checkpoints", "averages", "base")
"""Folders that `Checkpoints` copies."""
_GROWING = ("samples", "tensorboard")
"""Folders to which a launch only adds."""
_LAST = "config.json"
"""A folder that has it has all else."""
_LARGEST = 32 * 2**20
"""Bytes of the largest file that is pushed between two checkpoints."""
_EVERY = 60.0
"""Seconds between two pushes in the background."""

_training: dict[str, "Mirror"] = {}
"""The copies that this process trains in, by address: a process may train a run several times."""


def local_copy(address: str, kind: str) -> Path:
    """Where a local copy of what is at an address lies, in the user's cache folder."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", address).strip("-")[-60:]
    return cache_folder() / kind / f"{name}-{hashlib.sha256(address.encode()).hexdigest()[:12]}"


def local_folder(path: str | os.PathLike[str]) -> Path:
    """A path of this machine; of an address the local copy, without checkpoints and previews.

    **Raises** `ValueError` for an address that holds nothing.
    """
    if not is_address(path):
        return local_path(path)
    mirror = Mirror(os.fspath(path))
    mirror.pull()
    if not any(mirror.folder.iterdir()):
        raise ValueError(f"There is nothing at {os.fspath(path)}. Check the address.")
    return mirror.folder


class Mirror:
    """The local copy of a run at an address."""

    def __init__(self, address: str, use: Literal["training", "reading"] = "reading"):
        """**Arguments:**

        - `address`: of the run folder.
        - `use`: who the copy is for.
        """
        self.remote = RemoteFolder(address)
        self.folder = local_copy(self.remote.address, f"runs/{use}")
        self.lock: RemoteLock | None = None
        self._synced = _read_index(self._index)
        self._busy = threading.Lock()
        self._pushing = Repeating(
            lambda: self._push(_LARGEST),
            _EVERY,
            lambda e: log(f"{e} Training goes on; the next checkpoint needs the address."),
            name="remote run",
        )

    @classmethod
    def for_training(cls, address: str) -> "Mirror":
        """The copy for a launch that trains, once it has the lock. Every process calls this.

        **Raises** `ValueError`, on every process, if another launch that lives holds the lock.
        """
        address = address.rstrip("/")
        mirror = _training.get(address)
        if mirror is None or (mirror.lock is not None and mirror.lock.lost):
            mirror = cls(address, "training")
        outcome, problem = 1, None
        if first_process():
            try:
                mirror.lock = mirror.lock or RemoteLock(mirror.remote)
                outcome = int(mirror.lock.acquire())
                if outcome:
                    shutil.rmtree(mirror.folder / "locks", ignore_errors=True)
                    mirror.pull()
            except (ValueError, OSError) as error:
                outcome, problem = 0, error
        outcome = broadcast_from_first(outcome) or 0
        if problem is not None:
            mirror.close()
            raise problem
        if not outcome:
            raise ValueError(
                f"One launch at a time trains a run, received {address} which another one is "
                "training. Stop that one first, or choose another address."
            )
        if not first_process():
            mirror.pull()
        barrier("run copied")
        _training[address] = mirror
        return mirror

    def pull(self, *, only_top: bool = False) -> None:
        """Makes the copy equal to the address; files that are equal already are not read.

        **Arguments:**

        - `only_top`: whether only files outside of folders are looked at.
        """
        with self._busy:
            entries = {
                name: entry
                for name, entry in self.remote.files().items()
                if not _is_passing(name) and not name.startswith((*_folders(_GROWING), LOCK))
            }
            if only_top:
                entries = {name: entry for name, entry in entries.items() if "/" not in name}
            local = [n for n in self._local_names() if not (only_top and "/" in n)]
            removed = [name for name in local if name not in entries]
            for name in removed:
                (self.folder / name).unlink(missing_ok=True)
                self._synced.pop(name, None)
            if removed or self.lock is not None:
                _remove_empty_folders(self.folder)  # a folder stands for a part that is complete
            changed = [n for n, entry in entries.items() if not self._is_synced(n, entry)]
            copy_together(lambda name: self._pull_one(name, entries[name]), changed)
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self._index, self._synced)

    def push(self) -> None:
        """Copies to the address what is new or has grown here, config.json last.

        A launch that trains goes on to do so every minute, until the process ends.

        **Raises** `ValueError` if another launch has taken the run over.
        """
        self._push()
        if self.lock is not None:
            self._pushing.start()

    def clear(self) -> None:
        """Removes everything but the lock at the address."""
        self.remote.remove(name for name in self.remote.files() if name != LOCK)

    def close(self) -> None:
        """Gives the lock up and ends the pushing."""
        self._pushing.stop()
        _training.pop(self.remote.address, None)
        if self.lock is not None:
            self.lock.release()

    @property
    def _index(self) -> Path:
        return self.folder.with_name(self.folder.name + ".json")

    def _push(self, largest: int | None = None) -> None:
        with self._busy:
            if self.lock is not None:
                self.lock.check()
            names = [name for name in self._local_names() if self._has_changed(name, largest)]
            parts = [name for name in names if name != _LAST]
            copy_together(self._push_one, parts)
            if _LAST in names:
                self._push_one(_LAST)
            if names:
                write_json(self._index, self._synced)

    def _pull_one(self, name: str, entry: Entry) -> None:
        self.remote.download(name, self.folder / name)
        self._synced[name] = [entry.version, *_stamp(self.folder / name)]

    def _push_one(self, name: str) -> None:
        file, snapshot = self.folder / name, self.folder / f"{name}.push.tmp"
        stamp = _stamp(file)
        try:
            shutil.copyfile(file, snapshot)  # the file may grow meanwhile
            entry = self.remote.upload(snapshot, name)
        except FileNotFoundError:
            if file.exists():
                raise
            return  # removed meanwhile
        finally:
            snapshot.unlink(missing_ok=True)
        self._synced[name] = [entry.version, *stamp]

    def _is_synced(self, name: str, entry: Entry) -> bool:
        file = self.folder / name
        return file.is_file() and self._synced.get(name) == [entry.version, *_stamp(file)]

    def _has_changed(self, name: str, largest: int | None) -> bool:
        stamp = _stamp(self.folder / name)
        return self._synced.get(name, [])[1:] != stamp and (largest is None or stamp[0] <= largest)

    def _local_names(self) -> list[str]:
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        names = [path.relative_to(self.folder).as_posix() for path in files]
        return sorted(name for name in names if not _is_passing(name))


def _remove_empty_folders(folder: Path) -> None:
    """Removes folders that hold nothing, from the innermost on."""
    for path in sorted(folder.rglob("*"), reverse=True):
        with contextlib.suppress(OSError):  # it is a file, or holds something
            path.rmdir()


def _is_passing(name: str) -> bool:
    """Whether a file is not of the run's small ones: a lock, a temporary one, a checkpoint's."""
    parts = name.split("/")
    hidden = any(part.startswith(".") or part.endswith(".tmp") for part in parts)
    return hidden or name.startswith(_folders((*CHECKPOINTS, "locks")))


def _folders(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{name}/" for name in names)


def _stamp(file: Path) -> list[int]:
    stat = file.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _read_index(file: Path) -> dict[str, list]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
