"""Connecting to the other processes: it says for whom it waits, and ends when it is asked to."""

import atexit
import os
import socket
import sys
import threading
import time

import jax
from jax._src.distributed import global_state  # the address that a scheduler supplied

from .ending import CONNECTING

_FIRST_LINE, _NEXT_LINE = 10, 30
"""Seconds until the wait says what it is for, and until it says so again."""
_MARGIN = 60
"""Seconds that JAX would wait longer: at its own time limit it aborts the process."""


def connect(
    coordinator: str | None,
    processes: int | None,
    process_id: int | None,
    *,
    heartbeat: int,
    timeout: int,
) -> None:
    """Calls `jax.distributed.initialize` in a thread, so that signals are handled meanwhile.

    **Arguments:**

    - `coordinator`, `processes`, `process_id`, `heartbeat`: see `Cluster`.
    - `timeout`: seconds to wait for the others.

    **Raises** `TimeoutError` when they have not come by then, and what `initialize` raises.
    """
    errors: list[BaseException] = []

    def initialize() -> None:
        try:
            jax.distributed.initialize(
                coordinator,
                processes,
                process_id,
                initialization_timeout=timeout + _MARGIN,
                heartbeat_timeout_seconds=heartbeat,
            )
        except BaseException as error:  # every error is raised again below
            errors.append(error)

    CONNECTING.set()
    thread = threading.Thread(target=initialize, name="equildm connecting", daemon=True)
    thread.start()
    began, line = time.monotonic(), _FIRST_LINE
    try:
        while thread.is_alive():
            thread.join(0.2)
            waited = time.monotonic() - began
            if waited >= timeout and thread.is_alive():
                raise TimeoutError(
                    f"{_who()} connects to the others within {timeout} s, and {_missing()}. Start "
                    "all of them with the same address and number, or raise --connect-timeout."
                )
            if waited >= line and thread.is_alive():
                _say(waited)
                line += _NEXT_LINE
    except (KeyboardInterrupt, SystemExit, TimeoutError) as error:
        # JAX would wait for the connection at the end of the process.
        atexit.register(_end_now, _code(error))
        raise
    CONNECTING.clear()
    if errors:
        raise errors[0]


def _say(waited: float) -> None:
    answers = _answers(global_state.coordinator_address)
    if global_state.process_id == 0 or not answers:  # where it answers, it speaks for all
        text = f"{_who()} has waited {waited:.0f} s to be connected: {_missing(answers)}."
        print(text, file=sys.stderr, flush=True)


def _who() -> str:
    return f"Process {global_state.process_id} of {global_state.num_processes}"


def _missing(answers: bool | None = None) -> str:
    address = global_state.coordinator_address
    if address is None:
        return "the scheduler has not told where the others are"
    if global_state.process_id == 0:
        return f"not all of the others have reached it at {address}"
    if _answers(address) if answers is None else answers:
        return f"process 0 answers at {address}, but not all of the others have reached it"
    return f"process 0 does not answer at {address}"


def _answers(address: str | None) -> bool:
    if address is None:
        return False
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def _code(error: BaseException) -> int:
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    return 130 if isinstance(error, KeyboardInterrupt) else 1


def _end_now(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
