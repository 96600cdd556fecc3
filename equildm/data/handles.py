"""A bounded number of open files, for data sets of thousands of them."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import final, Generic, TypeVar

_T = TypeVar("_T")

LIMIT = 64
"""Files of one data set that are open at once. Systems allow a process 256 or more."""


@final
class Handles(Generic[_T]):
    """Files that are opened when they are first read. Threads may share it.

    Of more than `limit` files, the one that was read longest ago is let go. It is closed when no
    thread reads it any more, because Python then frees it.

    **Arguments:**

    - `open_file`: opens the file of a number.
    - `limit`: files that are open at once.
    """

    def __init__(self, open_file: Callable[[int], _T], limit: int = LIMIT):
        self._open_file, self._limit = open_file, limit
        self._lock = threading.Lock()
        self._files: OrderedDict[int, _T] = OrderedDict()  # least recently used first

    def __getitem__(self, number: int) -> _T:
        """The open file of that number."""
        with self._lock:
            if number not in self._files:
                while len(self._files) >= self._limit:
                    self._files.popitem(last=False)
                self._files[number] = self._open_file(number)
            self._files.move_to_end(number)
            return self._files[number]

    def __len__(self) -> int:
        """How many files are open."""
        return len(self._files)
