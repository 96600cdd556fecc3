"""What a folder of caches at an address and its local copy exchange.

    <address>/latents-<key>/, texts-<key>/   shards, which are only ever added
    <address>/<key>/                         a data set; its manifest.json comes last
    <address>/.<key>.part/                   segments of one that is being made, and a lock

At the address as on this machine a shard counts when its keys are there, and a segment comes after
the shards that it needs.
"""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import final

from ..runtime.address import Address
from ..runtime.mirror import local_copy
from ..runtime.remote import copy_together, RemoteFolder
from .copied import copy_missing
from .latents import listed_shards, MANIFEST
from .once import appears_whole, one_at_a_time
from .store import KEYS, records_file


def caches_folder(address: str) -> Path:
    """Where the local copy of a folder of caches lies, in the user's cache folder."""
    return local_copy(address.rstrip("/"), "caches")


@final
class CacheCopies:
    """One data set in a folder of caches, at the address and in the local copy.

    Processes of one machine may share the local copy: one at a time copies.

    **Arguments:**

    - `address`: of the folder of caches.
    - `name`: of the data set.
    - `stores`: names of the stores that it uses.
    """

    def __init__(self, address: str, name: str, stores: Sequence[str]):
        self.remote = RemoteFolder(address)
        self.folder = caches_folder(address)
        self.part = f".{name}.part"
        self._name, self._stores = name, stores
        self.folder.mkdir(parents=True, exist_ok=True)

    def is_complete(self) -> bool:
        """Whether the data set is complete at the address."""
        return self.remote.read(f"{self._name}/{MANIFEST}") is not None

    def pull(self, *, only_these: bool = False) -> None:
        """Copies the keys of all shards and the segments here.

        With `only_these`, what is only here and cannot be completed is removed: segments that the
        address lacks, and keys without records.
        """
        with self._alone():
            for store in self._stores:
                there = self.remote.inside(store).files()
                folder = self.folder / store
                keys = [
                    name
                    for name in there
                    if name.endswith(KEYS) and records_file(Path(name)).name in there
                ]
                for path in folder.glob(f"*{KEYS}") if only_these else ():
                    if path.name not in keys and not records_file(path).exists():
                        path.unlink()
                self._download(store, keys)
            segments = self._segments_there()
            for path in (self.folder / self.part).glob("[0-9]*.arrow") if only_these else ():
                if path.name not in segments:
                    path.unlink()
            self._download(self.part, segments)

    def push(self) -> None:
        """Copies to the address what is complete here: shards, then segments."""
        with self._alone():
            paths = (self.folder / self.part).glob("[0-9]*.arrow")
            segments = sorted(path.name for path in paths)  # before the shards that they need
            for store in self._stores:
                self._push_shards(store)
            there = self._segments_there() if segments else ()
            self._upload(self.part, [name for name in segments if name not in there])

    def push_dataset(self) -> None:
        """Copies the tables to the address, the manifest last, and removes the segments there.

        **Raises** `OSError` if a shard that the data set needs is not at the address.
        """
        self.push()
        stores = {store: self.remote.inside(store).files() for store in self._stores}
        for shard in self._shards():
            store, _, name = shard.partition("/")
            if name not in stores.get(store, ()):
                raise OSError(
                    f"A data set is complete with its shards; {self.remote.address} lacks {shard}, "
                    f"and so does {self.folder}. Delete {self.folder / self._name}, and launch "
                    "again to make it."
                )
        folder = self.folder / self._name
        names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
        self._upload(self._name, [name for name in names if name != MANIFEST])
        self._upload(self._name, [MANIFEST])
        self.forget()

    def forget(self) -> None:
        """Removes the segments at the address."""
        self.remote.remove(f"{self.part}/{name}" for name in self._segments_there())

    def fetch(self) -> None:
        """Copies the data set here, as far as it is missing: tables, and shards of its manifest.

        **Raises** `FileNotFoundError` if the address has lost one of them.
        """
        with self._alone():
            shutil.rmtree(self.folder / self.part, ignore_errors=True)
            folder = self.folder / self._name
            if not (folder / MANIFEST).exists():
                shutil.rmtree(folder, ignore_errors=True)
                there = self.remote.inside(self._name).files()
                with appears_whole(folder) as part:
                    self._download(self._name, list(there), part)
            missing = [shard for shard in self._shards() if not (self.folder / shard).exists()]
            entries = {
                f"{store}/{name}": entry
                for store in {shard.partition("/")[0] for shard in missing}
                for name, entry in self.remote.inside(store).files().items()
            }
            copy_missing(
                {Address(self.remote, s, entries.get(s)): self.folder / s for s in missing}
            )

    def _shards(self) -> list[str]:
        """The files of records that the data set needs, below the folder of caches."""
        paths = listed_shards(self.folder / self._name)
        return [path.relative_to(self.folder).as_posix() for path in paths]

    def _push_shards(self, store: str) -> None:
        folder, there = self.folder / store, self.remote.inside(store).files()

        def push(keys: Path) -> None:
            for path in (records_file(keys), keys):
                if path.name not in there:
                    self.remote.upload(path, f"{store}/{path.name}")

        new = [path for path in folder.glob(f"*{KEYS}") if path.name not in there]
        copy_together(push, [keys for keys in new if records_file(keys).exists()])

    def _segments_there(self) -> list[str]:
        names = self.remote.inside(self.part).files()
        return [name for name in names if name.endswith(".arrow")]

    def _download(self, folder: str, names: Sequence[str], into: Path | None = None) -> None:
        place = self.folder / folder if into is None else into

        def copy(name: str) -> None:
            self.remote.download(f"{folder}/{name}", place / name)

        copy_together(copy, [name for name in names if not (place / name).exists()])

    def _upload(self, folder: str, names: Sequence[str]) -> None:
        def copy(name: str) -> None:
            self.remote.upload(self.folder / folder / name, f"{folder}/{name}")

        copy_together(copy, names)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with one_at_a_time(
            self.folder / ".copying.lock", f"another process copies {self.remote.address}: waiting"
        ):
            yield
