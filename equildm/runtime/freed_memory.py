"""Freed memory that a process keeps, so that a step on a CPU does not ask for its pages anew.

XLA takes the temporaries of a program from malloc at each call. glibc gives large blocks back to
the system when they are freed, and the system clears each page again when it is touched: that was
a quarter of a step's time.
"""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # of glibc's malloc.h


def keep_freed_memory() -> bool:
    """Tells malloc to keep what is freed. The process stays as large as it ever was.

    **Returns:** whether the C library is one that can be told, glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wishes = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _ARENA_MAX: 1}
    taken = [mallopt(name, value) == 1 for name, value in wishes.items()]
    return all(taken)
