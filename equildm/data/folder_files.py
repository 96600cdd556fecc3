"""The files below a folder, one by one in the order of their paths."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import final, NamedTuple

from .caption_text import printable
from .decode import IMAGE_SUFFIXES
from .remarks import Remarks

CAPTION_SUFFIXES = (".txt", ".caption")
"""Of files beside images; where both are there, the first counts."""

HIDDEN = "hidden file, not used"
_NO_FILE = "broken link or no plain file, not used"
_SEEN = "link to a folder that is read already, not followed"


def parted(path: str) -> tuple[str, str]:
    """ "a/b.v2.PNG" is ("a/b.v2", ".png")."""
    start = path.rfind("/") + 1
    dot = path.rfind(".")
    return (path[:dot], path[dot:].lower()) if start < dot < len(path) - 1 else (path, "")


@final
class Neighbours:
    """The files of one folder whose names agree up to the first dot."""

    def __init__(self, names: Iterable[str]):
        self._images: dict[str, list[str]] = {}
        self._captions: dict[tuple[str, str], str] = {}
        for name in names:
            stem, suffix = parted(name)
            if suffix in IMAGE_SUFFIXES:
                self._images.setdefault(stem, []).append(name)
            elif suffix in CAPTION_SUFFIXES:
                self._captions.setdefault((stem, suffix), name)

    def images_of(self, caption: str) -> list[str]:
        """The images that a caption file may belong to."""
        stem, _ = parted(caption)
        return self._images.get(stem, []) if self.caption_of(stem) == caption else []

    def caption_of(self, stem: str) -> str | None:
        """The caption file of an image without its suffix."""
        names = (self._captions.get((stem, suffix)) for suffix in CAPTION_SUFFIXES)
        return next((name for name in names if name is not None), None)


class ListedFile(NamedTuple):
    """A file below the folder, with its size, its time of change, and those of a similar name.

    At an address the store's version stands for the time.
    """

    path: str
    size: int
    changed: int | str
    neighbours: Neighbours


@final
class Listing:
    """Every file below `root`, without hidden ones.

    Links to folders are followed, after all folders that are no links, and no folder is read twice:
    a link upwards ends there. Only the names in one folder are in memory at once.
    """

    def __init__(self, root: Path):
        self._root = str(root)
        self._passed: list[str] = []  # folders that are read elsewhere
        self._find_passed()
        self._is_passed = frozenset(self._passed)

    def _find_passed(self) -> None:
        seen: set[tuple[int, int]] = set()
        waiting = [""]
        links: list[str] = []
        while waiting or links:
            folder = waiting.pop() if waiting else links.pop(0)
            status = os.stat(os.path.join(self._root, folder))
            if (status.st_dev, status.st_ino) in seen:
                self._passed.append(folder)
                continue
            seen.add((status.st_dev, status.st_ino))
            below = []
            with os.scandir(os.path.join(self._root, folder)) as entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False) or entry.name.startswith("."):
                        continue
                    if entry.is_dir():
                        below.append((entry.name, entry.is_symlink()))
            for name, is_link in sorted(below, reverse=True):
                if not is_link:
                    waiting.append(_joined(folder, name))
            links += [_joined(folder, name) for name, is_link in sorted(below) if is_link]

    def files(self, remarks: Remarks | None = None) -> Iterator[ListedFile]:
        """The files, from the disk. What is left aside is counted in `remarks`."""
        if remarks is not None:
            for folder in self._passed:
                remarks.add(_SEEN, printable(folder))
        yield from self._below("", remarks)

    def _below(self, folder: str, remarks: Remarks | None) -> Iterator[ListedFile]:
        names, folders = self._entries(folder, remarks)
        start, end, neighbours = "", -1, Neighbours(())
        for place, name in enumerate(names):
            path = _joined(folder, name)
            if name in folders:
                yield from self._below(path, remarks)
                continue
            if place > end or not name.startswith(start):
                start, end = name.partition(".")[0] + ".", place
                while end + 1 < len(names) and names[end + 1].startswith(start):
                    end += 1
                alike = [other for other in names[place : end + 1] if other not in folders]
                neighbours = Neighbours(alike if len(alike) > 1 else ())
            status = os.stat(os.path.join(self._root, path))
            yield ListedFile(path, status.st_size, status.st_mtime_ns, neighbours)

    def _entries(self, folder: str, remarks: Remarks | None) -> tuple[list[str], set[str]]:
        """The names in a folder that are used, sorted, and which of them are folders."""
        names, folders = [], set()
        with os.scandir(os.path.join(self._root, folder)) as entries:
            for entry in entries:
                fault = None
                if entry.name.startswith("."):
                    fault = HIDDEN
                elif entry.is_file():
                    names.append(entry.name)
                elif not entry.is_dir():
                    fault = _NO_FILE
                elif _joined(folder, entry.name) not in self._is_passed:
                    names.append(entry.name)
                    folders.add(entry.name)
                if fault is not None and remarks is not None:
                    remarks.add(fault, printable(_joined(folder, entry.name)))
        names.sort()
        return names, folders


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
