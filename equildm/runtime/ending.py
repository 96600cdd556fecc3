"""How a process of several ends: it leaves a note, so that no other waits for it.

The notes lie in the key-value store of JAX's coordination service, which ends with process 0.
"""

import atexit
import contextlib
import os
import sys
import threading
import time
from typing import Any, NoReturn

import jax
from jax._src.distributed import global_state  # the store has no public name

ENDED = "has ended"
"""The note of a process at the normal end of its program."""
_LINGER = 5.0
"""Seconds that process 0 lets the others read its note, as the store ends with it."""
_GONE = "equildm/gone/"
CONNECTING = threading.Event()
"""Set until the processes have met: a note before that is an error that aborts the process."""


def process_number() -> tuple[int, int]:
    """The number of this process, from 0, and how many there are.

    JAX's own functions look for devices, and processes that are joined wait there for each other.
    """
    if global_state.client is None:
        return jax.process_index(), jax.process_count()
    return global_state.process_id, global_state.num_processes


def leave(code: int, how: str) -> None:
    """Makes this process end with that code, and not wait for the others at its end.

    **Arguments:**

    - `code`: the exit code.
    - `how`: what processes that wait for this one say of it: "was stopped by ctrl-C".
    """
    if global_state.num_processes > 1 and not CONNECTING.is_set():
        note_ending(how)
        atexit.register(end_now, code)


def end_now(code: int) -> NoReturn:
    """Ends this process. The first one lets the others see its note, as the store ends with it."""
    sys.stdout.flush()
    sys.stderr.flush()
    deadline = time.monotonic() + _LINGER
    try:
        while global_state.process_id == 0 and time.monotonic() < deadline:
            gone = endings()
            if 0 not in gone or len(gone) == global_state.num_processes:
                break
            time.sleep(0.05)
    except (jax.errors.JaxRuntimeError, KeyboardInterrupt):
        pass
    os._exit(code)


def endings() -> dict[int, str]:
    """The notes of the processes that have ended or are about to, by their numbers."""
    return read_place(_GONE)


def read_place(place: str) -> dict[int, str]:
    """What each process has noted under a name that ends with a slash."""
    client: Any = global_state.client
    return {int(key.rpartition("/")[2]): text for key, text in client.key_value_dir_get(place)}


def note_ending(how: str) -> None:
    """Leaves this process's note: "failed"."""
    client: Any = global_state.client
    # Without the store, which ends with the first process, nobody reads notes.
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        client.key_value_set(f"{_GONE}{global_state.process_id}", how, allow_overwrite=True)
