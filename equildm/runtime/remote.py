"""Folders at an address, such as `gs://bucket/runs` or `s3://bucket/runs`: read, written, retried.

fsspec knows the protocols. What it lacks is added here: an outage is waited for, a file appears
whole or not at all, and its size is checked after every copy.
"""

import errno
import os
import random
import re
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ._files import replacing
from ._outages import error_text, may_pass

T = TypeVar("T")

PATIENCE = "EQUILDM_REMOTE_PATIENCE"
"""Environment variable: how many seconds an outage may last, 300 by default."""

_COLLAPSED = re.compile(r"[a-z][a-z0-9+.-]+:/")
"""How an address begins after `pathlib` took it for a path. A drive of Windows has one letter."""
_WHOLE_OBJECTS = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "memory"}
"""Protocols whose objects appear when they are complete, and that know no folders."""
_VERSIONS = (
    *("ETag", "etag", "md5Hash", "generation", "blob_id", "xet_hash"),
    *("LastModified", "mtime", "created"),
)
"""What the protocols call that which changes with the content, the surest first."""
_PINNED = re.compile(r"hf://[^@]*@[0-9a-f]{40}(/|$)")
"""An address in a commit of the Hugging Face Hub, where nothing changes."""
_WORKERS = 8


class Entry(NamedTuple):
    """A file at an address: its size in bytes, and a text that changes with its content."""

    size: int
    version: str


def is_address(path: str | os.PathLike[str]) -> bool:
    """Whether a path is an address, which has `://`, and no path of this machine."""
    return "://" in os.fspath(path)


def local_path(path: str | os.PathLike[str], what: str = "A folder") -> Path:
    """`path` as a path of this machine.

    **Raises** `ValueError` for an address, also one that `pathlib` has shortened to `gs:/bucket`.
    """
    text = os.fspath(path)
    if is_address(text) or _COLLAPSED.match(text):
        text = text if is_address(text) else text.replace(":/", "://", 1)
        raise ValueError(
            f"{what} is one of this machine, received the address {text}. Copy it here first; "
            "where an address is possible, it is text and no Path."
        )
    return Path(path)


class RemoteFolder:
    """A folder at an address. Names of files are relative to it, with slashes."""

    def __init__(self, address: str, *, patience: float | None = None):
        """**Arguments:**

        - `address`: of any protocol that fsspec knows. The bucket must exist.
        - `patience`: seconds that an outage may last; by default 300, or
            `$EQUILDM_REMOTE_PATIENCE`.

        **Raises** `ValueError` for an unknown protocol, and where its package is not installed.
        """
        self.address = address.rstrip("/")
        self.patience = float(os.environ.get(PATIENCE, 300)) if patience is None else patience
        protocol = address.partition("://")[0]
        self._whole = protocol in _WHOLE_OBJECTS
        self._pinned = _PINNED.match(address) is not None
        try:
            from fsspec.core import url_to_fs

            fs, root = url_to_fs(self.address)
        except ImportError as error:
            raise ValueError(
                f"{address} needs a package that is not installed ({error}). Use pip install "
                "gcsfs for gs://, s3fs for s3://, or the package that fsspec names."
            ) from error
        except ValueError as error:
            raise ValueError(
                f"An address is gs://, s3:// or of another protocol of fsspec, received {address} "
                f"({error}). Correct it, or install the package of that protocol."
            ) from error
        self._fs: Any = fs
        self._root = str(root).rstrip("/")

    def inside(self, name: str) -> "RemoteFolder":
        """A folder inside of this one."""
        return RemoteFolder(f"{self.address}/{name}", patience=self.patience)

    def with_patience(self, seconds: float) -> "RemoteFolder":
        """The same folder, with an outage of that many seconds at most."""
        return RemoteFolder(self.address, patience=min(seconds, self.patience))

    def files(self) -> dict[str, Entry]:
        """All files by name, also those in folders inside."""

        def find() -> dict[str, Entry]:
            self._fs.invalidate_cache()
            files = {}
            for path, info in self._fs.find(self._root, detail=True).items():
                name = path[len(self._root) :].strip("/")
                if name and not path.endswith("/") and info.get("type") != "directory":
                    files[name] = _entry(info)
            return files

        return self._patiently(find, missing={})

    def top(self) -> dict[str, Entry | None]:
        """What lies right in the folder, by name and in order; None stands for a folder."""

        def find() -> dict[str, Entry | None]:
            self._fs.invalidate_cache()
            infos = self._fs.ls(self._root, detail=True)
            named = {info["name"][len(self._root) :].strip("/"): info for info in infos}
            return {
                name: None if info["type"] == "directory" else _entry(info)
                for name, info in sorted(named.items())
                if name
            }

        return self._patiently(find, missing={})

    def entry(self, name: str) -> Entry:
        """Size and version of a file. **Raises** `FileNotFoundError`, also for a folder."""

        def look() -> Entry:
            self._fs.invalidate_cache(self._path(name))  # else a listing of before may answer
            info = self._fs.info(self._path(name))
            if info.get("type") == "directory":
                raise FileNotFoundError(f"{name} is a folder")
            return _entry(info)

        return self._patiently(look)

    def read(self, name: str) -> bytes | None:
        """A file's content, None if there is none."""
        return self._patiently(lambda: self._fs.cat_file(self._path(name)), missing=None)

    def read_range(self, name: str, start: int, stop: int) -> bytes:
        """The bytes from `start` to before `stop`; fewer of a file that is shorter by now."""

        def read() -> bytes:
            try:
                content = self._fs.cat_file(self._path(name), start=start, end=stop)
                _check_size(name, stop - start, len(content))
            except OSError:
                if self.entry(name).size >= stop:
                    raise
                return b""
            return content

        return self._patiently(read) if start < stop else b""

    def read_unchanged(self, name: str, entry: Entry, start: int, stop: int) -> bytes:
        """`read_range` of a file that is still what `entry` says of it.

        **Raises** `OSError` if it has changed.
        """
        content = self.read_range(name, start, stop)
        if not self._pinned and self.entry(name).version != entry.version:
            raise OSError(
                errno.ESTALE,
                "The file has changed since it was opened; open it again",
                f"{self.address}/{name}",
            )
        return content

    def matching(self, pattern: str) -> dict[str, Entry]:
        """Files that fit a pattern such as `*/images-*.tar`, in order; `**` stands for folders."""

        def match() -> dict[str, Entry]:
            self._fs.invalidate_cache()
            infos = self._fs.glob(self._path(pattern), detail=True)
            return {
                path[len(self._root) :].strip("/"): _entry(infos[path])
                for path in sorted(infos)
                if infos[path].get("type") != "directory"
            }

        return self._patiently(match)

    def write(self, name: str, content: bytes) -> None:
        """Writes a small file."""

        def write() -> None:
            self._make_parent(name)
            self._fs.pipe_file(self._path(name), content)

        self._patiently(write)

    def download(self, name: str, file: Path) -> None:
        """Copies a file from the address. `file` appears when it is complete."""

        def copy() -> None:
            path = self._path(name)
            with replacing(file) as part:
                self._fs.get_file(path, str(part))
                _check_size(name, self._fs.info(path)["size"], part.stat().st_size)

        file.parent.mkdir(parents=True, exist_ok=True)
        self._patiently(copy)

    def upload(self, file: Path, name: str) -> Entry:
        """Copies a file to the address, where it appears when it is complete."""

        def copy() -> Entry:
            self._make_parent(name)
            path = self._path(name)
            target = path if self._whole else f"{path}.{os.getpid()}.tmp"
            self._fs.put_file(str(file), target)
            self._fs.invalidate_cache()
            entry = _entry(self._fs.info(target))
            _check_size(name, file.stat().st_size, entry.size)
            if target != path:
                self._fs.mv(target, path)
                entry = _entry(self._fs.info(path))
            return entry

        return self._patiently(copy)

    def remove(self, names: Iterable[str]) -> None:
        """Removes files, in this order. One that is not there is passed over."""
        for name in names:
            self._patiently(partial(self._fs.rm_file, self._path(name)), missing=None)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _make_parent(self, name: str) -> None:
        if not self._whole:
            self._fs.makedirs(self._path(name).rpartition("/")[0], exist_ok=True)

    def _patiently(self, action: Callable[[], T], **missing: T) -> T:
        """What `action` returns, tried again while the address cannot be reached."""
        start, pause = time.monotonic(), 0.5
        while True:
            try:
                return action()
            except FileNotFoundError as error:
                if "missing" in missing:
                    return missing["missing"]
                raise FileNotFoundError(f"{self.address}: not there: {error}") from error
            except Exception as error:
                if not may_pass(error):
                    raise ValueError(
                        f"{self.address} cannot be used: {error_text(error)}. Check the name "
                        "of the bucket, your credentials and what they may do."
                    ) from error
                if time.monotonic() - start + pause > self.patience:
                    raise ConnectionError(
                        f"{self.address} could not be reached for {self.patience:g} s: "
                        f"{error_text(error)}. Try again later; what was complete there is safe."
                    ) from error
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, 30.0)


def copy_together(copy: Callable[[T], object], names: Iterable[T]) -> None:
    """Calls `copy` for each name, some at a time. Raises the first error, once all are done."""
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="remote") as pool:
        for future in [pool.submit(copy, name) for name in names]:
            future.result()


def _entry(info: dict[str, Any]) -> Entry:
    version = next((info[name] for name in _VERSIONS if info.get(name) is not None), "")
    time_of = getattr(version, "timestamp", None)  # a date, which some give in two forms
    return Entry(int(info["size"]), str(version if time_of is None else time_of()))


def _check_size(name: str, expected: int, received: int) -> None:
    if expected != received:
        raise ConnectionError(f"{name} was cut off: {received} of {expected} bytes")
