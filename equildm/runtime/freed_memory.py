"""Freed memory that a process keeps, so that a step on a CPU does not ask for its pages anew.

XLA takes the temporaries of a program from malloc at each call. glibc gives large blocks back to
the system when they are freed, and the system clears each page again when it is touched: that was
a quarter of a step's time.

Only the main thread's heap can keep a block of any size. So programs are dispatched by the thread
that calls them. XLA's own threads keep heaps of their own: in one that a compilation has cut into
pieces, their many small requests took a fifth of a step.
"""

import ctypes
import sys
from typing import Any

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of glibc's malloc.h
_COMPILED = "/jax/core/compile/backend_compile_duration"
_LONG = 1.0
"""Seconds of a compilation that leaves much behind."""
_kept = False


def keep_freed_memory() -> bool:
    """Tells malloc to keep what is freed, but for what a compilation leaves.

    Call it before JAX has its devices: it turns off `jax_cpu_enable_async_dispatch`, without which
    the main thread would not be the one that asks for temporaries. Where JAX does not compute on
    the CPU, it does nothing else.

    A long compilation, or a large program that is read from disk, frees hundreds of MB in pieces in
    which no step's temporaries fit. What took more than a second gives them back before the program
    runs. For all else the process stays as large as it ever was, see `give_back_freed_memory`.

    **Returns:** whether freed memory is kept: on a CPU whose devices JAX did not have yet, by a C
    library that can be told, glibc.
    """
    global _kept
    import jax
    from jax._src.xla_bridge import backends_are_initialized  # has no public name

    from .platform import platform

    if _kept:
        return True
    mallopt = _from_libc("mallopt")
    if mallopt is None or backends_are_initialized():
        return False
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    if platform() != "cpu":
        return False
    wishes = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1}
    if not all(mallopt(name, value) == 1 for name, value in wishes.items()):
        return False
    jax.monitoring.register_event_duration_secs_listener(_after_compilation)
    _kept = True
    return True


def give_back_freed_memory() -> None:
    """Gives back what is free at this moment. Does nothing where the C library cannot.

    After the first step of a training the pieces around its temporaries are free. Without this call
    the second step's can lie elsewhere, and the process holds both for as long as it runs.
    """
    trim = _from_libc("malloc_trim")
    if trim is not None:
        trim(0)


def _from_libc(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None


def _after_compilation(event: str, duration_secs: float, **kwargs: str | int) -> None:
    if event == _COMPILED and duration_secs > _LONG:
        give_back_freed_memory()
