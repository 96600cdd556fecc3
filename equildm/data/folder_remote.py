"""The files below a folder at an address, in the order of those of a folder of this machine."""

import logging
import posixpath
from collections.abc import Iterator
from typing import final

from ..runtime.remote import RemoteFolder
from .caption_text import printable
from .folder_files import HIDDEN, ListedFile, Neighbours
from .remarks import Remarks

_log = logging.getLogger("equildm.data")


@final
class RemoteListing:
    """Every file below a folder at an address, without hidden ones, listed once."""

    def __init__(self, folder: RemoteFolder):
        entries = folder.files()
        _log.warning("%s: %d files listed", folder.address, len(entries))
        self._hidden: set[str] = set()
        for name in entries:
            parts = name.split("/")
            hidden = next((i for i, part in enumerate(parts) if part.startswith(".")), None)
            if hidden is not None:
                self._hidden.add("/".join(parts[: hidden + 1]))
        names = [name for name in entries if not self._is_hidden(name)]
        self._files = sorted(names, key=lambda name: name.split("/"))
        self._entries = entries

    def files(self, remarks: Remarks | None = None) -> Iterator[ListedFile]:
        """The files. What is left aside is counted in `remarks`."""
        if remarks is not None:
            for name in sorted(self._hidden):
                remarks.add(HIDDEN, printable(name))
        groups: dict[tuple[str, str], list[str]] = {}
        for name in self._files:
            groups.setdefault(_group(name), []).append(posixpath.basename(name))
        last, neighbours = ("", ""), Neighbours(())
        for name in self._files:
            if (group := _group(name)) != last:
                alike = groups[group]
                last, neighbours = group, Neighbours(alike if len(alike) > 1 else ())
            entry = self._entries[name]
            yield ListedFile(name, entry.size, entry.version, neighbours)

    def _is_hidden(self, name: str) -> bool:
        return name.startswith(".") or "/." in name


def _group(name: str) -> tuple[str, str]:
    folder, _, file = name.rpartition("/")
    return folder, file.partition(".")[0]
