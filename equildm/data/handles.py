"""A bounded number of open files, for data sets of thousands of them."""

import resource
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import final, Generic, TypeVar

_T = TypeVar("_T")

_LEAST, _MOST = 16, 1024


def handle_limit() -> int:
    """Files of one data set that are open at once: a quarter of what the system allows a process.

    Opening an ArrayRecord file again takes milliseconds, so more are better. At most 1024.
    """
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if allowed == resource.RLIM_INFINITY else min(_MOST, max(_LEAST, allowed // 4))


@final
class Handles(Generic[_T]):
    """Files that are opened when they are first read. Threads may share it.

    Of more than `limit` files, the one that was read longest ago is let go. It is closed when no
    thread reads it any more, because Python then frees it.

    **Arguments:**

    - `open_file`: opens the file of a number.
    - `limit`: files that are open at once, by default `handle_limit()`.
    """

    def __init__(self, open_file: Callable[[int], _T], limit: int | None = None):
        self._open_file = open_file
        self._limit = handle_limit() if limit is None else limit
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
