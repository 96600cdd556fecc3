"""Local copies of data at an address, for readers that need files of this machine.

Each file is copied once, to `data` in the user's cache folder, and gets its name when it is
complete. Another version of a file is another copy. The folder may be deleted when no launch runs.
"""

import hashlib
import logging
import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..runtime import Progress
from ..runtime.address import Address, FilePath
from ..runtime.compile_cache import cache_folder
from ..runtime.remote import copy_together
from .once import one_at_a_time

_log = logging.getLogger("equildm.data")


def local_files(paths: Sequence[FilePath]) -> list[Path]:
    """These files on this machine. Those at an address are copied first, if they are not yet.

    **Raises** `ValueError` if the disk has not the room, `FileNotFoundError` for no such file.
    """
    places = {path: _place(path) for path in paths if isinstance(path, Address)}
    if any(not place.exists() for place in places.values()):
        folder = cache_folder() / "data"
        folder.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(folder / ".lock", "another launch copies data: waiting for it"):
            copy_missing(places)
    return [places[path] if isinstance(path, Address) else path for path in paths]


def copy_missing(places: Mapping[Address, Path]) -> None:
    """Copies each file to its place, where there is none, with its progress.

    **Raises** `ValueError` if the disk has not the room.
    """
    missing = {file: place for file, place in places.items() if not place.exists()}
    if not missing:
        return
    size = sum(file.entry.size for file in missing)
    first, folder = next(iter(missing.items()))
    parent = next(path for path in folder.parents if path.exists())
    free = shutil.disk_usage(parent).free
    if size > free:
        raise ValueError(
            f"Copies of data need room on the disk: {len(missing)} files of {size / 1e9:.3f} GB, "
            f"such as {first}, received {free / 1e9:.3f} GB in {parent}. Free some, or set "
            "XDG_CACHE_HOME to another disk."
        )
    _log.warning(
        "%s: %d files of %.3f GB are copied, once, to %s",
        *(first.parent, len(missing), size / 1e9, folder.parent),
    )
    done, counting = 0, threading.Lock()
    with Progress(max(1, size // 2**20), label="copying", unit="MiB") as progress:

        def copy(file: Address) -> None:
            nonlocal done
            file.download(missing[file])
            with counting:
                done += file.entry.size
                progress.update(done // 2**20)

        copy_together(copy, missing)


def _place(file: Address) -> Path:
    version = f"{file}\n{file.entry.size}\n{file.entry.version}"
    return cache_folder() / "data" / hashlib.sha256(version.encode()).hexdigest()[:24] / file.name
