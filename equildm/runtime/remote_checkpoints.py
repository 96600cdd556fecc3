"""Checkpoints at an address: saved in a local folder, then copied, with a marker as the last file.

A step at the address counts only with `commit_success.txt`, which Orbax writes last as well where
it writes to `gs://` itself. So a copy that was cut off is never taken for a checkpoint, and both
ways can be mixed. A removed step loses its marker first.
"""

import json
import shutil
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

import jax

from .distributed import first_process
from .mirror import local_copy
from .remote import copy_together, Entry, RemoteFolder
from .waiting import barrier

_MARKER = "commit_success.txt"
_UNUSED = 3600.0
"""Seconds after which a local copy of another step is removed. A reader may still need it."""


class RemoteCheckpoints:
    """The checkpoints in one folder at an address, and the local folders on their way."""

    def __init__(self, address: str, keep: int | None):
        """**Arguments:**

        - `address`: of the folder.
        - `keep`: number of the newest checkpoints that stay; `None` for all.
        """
        self.remote = RemoteFolder(address)
        self.keep = keep
        self.saved = local_copy(address, "checkpoints/saved")
        """Where checkpoints are saved before they are copied."""
        self._fetched = local_copy(address, "checkpoints/fetched")
        self._copying: threading.Thread | None = None
        self._error: Exception | None = None

    @property
    def direct(self) -> bool:
        """Whether Orbax writes to the address itself: its processes may be on several machines."""
        return self.remote.address.startswith("gs://") and jax.process_count() > 1

    def steps(self) -> list[int]:
        """The complete steps, increasing."""
        return _complete(self.remote.files())

    def fetch(self, step: int, items: Collection[str]) -> Path:
        """A local folder with some items of a step, copied once. Every process calls this."""
        if not first_process():
            barrier("checkpoint fetched")  # where they share the folder there is nothing left to do
        folder = self._fetch(step, items)
        if first_process():
            barrier("checkpoint fetched")
        return folder

    def _fetch(self, step: int, items: Collection[str]) -> Path:
        for other in self._fetched.glob("*"):
            if other.name != str(step) and time.time() - other.stat().st_mtime > _UNUSED:
                shutil.rmtree(other, ignore_errors=True)
        entries = self.remote.inside(str(step)).files()
        folder, source = self._fetched / str(step), self.remote.inside(str(step))
        names = [n for n in entries if "/" not in n or n.partition("/")[0] in items]
        # A step that was removed and saved again has another marker.
        stamp = folder / f"{_MARKER}.json"
        marker = list(entries[_MARKER]) if _MARKER in entries else None
        if not stamp.is_file() or json.loads(stamp.read_text(encoding="utf-8")) != marker:
            shutil.rmtree(folder, ignore_errors=True)
        missing = [name for name in names if not (folder / name).is_file()]
        copy_together(lambda name: source.download(name, folder / name), missing)
        stamp.write_text(json.dumps(marker), encoding="utf-8")
        return folder

    def prepare(self) -> None:
        """Removes what launches left that were killed. Every process calls this before it saves.

        **Raises** `ValueError` where the processes share no disk and the address is not `gs://`.
        """
        if first_process():
            shutil.rmtree(self.saved, ignore_errors=True)
            shutil.rmtree(self._fetched, ignore_errors=True)
            self.saved.mkdir(parents=True)
            files = self.remote.files()
            complete = {str(step) for step in _complete(files)}
            self.remote.remove(name for name in files if name.partition("/")[0] not in complete)
        barrier("checkpoints prepared")
        if not self.direct and not self.saved.is_dir():
            raise ValueError(
                "Processes on several machines save to a folder that all of them share or to "
                f"gs://, received {self.remote.address}. Choose one of these."
            )

    def copy(self, step: int, saved: Callable[[], None], before: Callable[[], None]) -> None:
        """Begins to copy a step, on the first process.

        **Arguments:**

        - `step`: of the checkpoint.
        - `saved`: returns when it is in `self.saved`.
        - `before`: called before the marker is written.
        """
        if not first_process():
            return

        def copy() -> None:
            try:
                saved()
                self._copy(step, before)
            except Exception as error:
                self._error = error

        self._copying = threading.Thread(target=copy, name="remote checkpoint")
        self._copying.start()

    def wait(self) -> None:
        """Returns when the last copy is complete. **Raises** its error if it failed."""
        if self._copying is not None:
            self._copying.join()
            self._copying = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def close(self) -> None:
        """Removes what was saved here. The copies are complete."""
        if first_process() and not self.direct:
            shutil.rmtree(self.saved, ignore_errors=True)

    def _copy(self, step: int, before: Callable[[], None]) -> None:
        source, target = self.saved / str(step), self.remote.inside(str(step))
        files = [path for path in source.rglob("*") if path.is_file()]
        names = [path.relative_to(source).as_posix() for path in files]
        parts = [name for name in names if name != _MARKER]  # Orbax writes one locally as well
        copy_together(lambda name: target.upload(source / name, name), parts)
        before()
        target.write(_MARKER, f"Complete since {time.time():.0f}.\n".encode())
        if self.keep is not None:
            entries = self.remote.files()
            for old in _complete(entries)[: -self.keep]:
                inside = [name for name in entries if name.startswith(f"{old}/")]
                self.remote.remove([f"{old}/{_MARKER}", *inside])


def _complete(files: dict[str, Entry]) -> list[int]:
    markers = [name.split("/") for name in files if name.endswith(f"/{_MARKER}")]
    return sorted(int(parts[0]) for parts in markers if len(parts) == 2 and parts[0].isdigit())
