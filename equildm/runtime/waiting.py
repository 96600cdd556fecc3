"""Waiting for other processes: it says for whom, and ends when it is asked to.

Processes meet in the key-value store of JAX's coordination service. Whoever waits looks there a few
times a second who has come, and Python handles signals in between. There is no time limit: JAX
ends the processes when the heartbeat of one of them stops, and a process that ends in another way
leaves a note, so that nobody waits for it.
"""

import contextlib
import functools
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NoReturn
from urllib.parse import quote

import jax
from jax._src.distributed import global_state  # the store has no public name

from .ending import end_now, ENDED, endings, leave, note_ending, process_number, read_place
from .interrupt import handled_by_loop, STOPPED

_LOOKING = 10
"""Seconds that the end of a program waits for the look for devices."""
_FIRST_LINE, _NEXT_LINE = 10, 30
"""Seconds until a wait says what it is for, and until it says so again."""
_PAUSE = 0.2
"""Seconds between two looks, at most."""
_NOTICE = "RECEIVED_PREEMPTION_NOTICE"
"""Where JAX's preemption service notes a SIGTERM to any process."""

_uses: Counter[str] = Counter()
"""How often each name was waited at, so that names may come again."""


def barrier(name: str) -> None:
    """Returns when every process has called this with the same name.

    It waits as long as the others live, and says so after 10 seconds and then every 30. A name may
    be used again. Ends this process with code `STOPPED` if another one has ended instead, and on a
    SIGTERM to any of them where no `Interrupt` catches it.
    """
    _, of = process_number()
    if of > 1:
        _meet(name, range(of))


def on_first_process(name: str, make: Callable[[], None]) -> None:
    """Calls `make` on the first process. The others wait until it is done, and see its files.

    They wait as at a `barrier`, however long `make` takes.
    """
    me, _ = process_number()
    if me == 0:
        make()
    barrier(name)


def broadcast_from_first(number: int | None) -> int | None:
    """The first process's `number` (0 or more, or `None`), on every process.

    The others wait for it as at a `barrier`; the first one does not wait for them.
    """
    _, of = process_number()
    if of == 1:
        return number
    first = _meet("a decision of process 0", [0], str(number))[0]
    return None if first == "None" else int(first)


def end_together() -> None:
    """At the normal end of a program: waits for the others, which may have work left.

    Register it with `atexit` after the processes have met. JAX has a barrier of its own there,
    which fails after some minutes and ends every process.
    """
    if global_state.num_processes == 1 or global_state.client is None:
        return
    try:
        before = _notice()
        note_ending(ENDED)
        everyone = range(global_state.num_processes)
        ends = _wait(endings, "the end of the program", everyone, before)
        if any(how != ENDED for how in ends.values()):
            end_now(STOPPED)  # not all of them come to JAX's barrier
        # One that waited may be looking for devices still, and needs the others for it. Python
        # cannot stop a thread in C++: the process would abort at its end.
        _look_for_devices().join(_LOOKING)
    except (KeyboardInterrupt, SystemExit) as error:
        end_now(130 if isinstance(error, KeyboardInterrupt) else STOPPED)


def numbered(processes: Sequence[int]) -> str:
    """ "process 3", or "processes 1, 2 and 3"; more than eight are counted."""
    if len(processes) == 1:
        return f"process {processes[0]}"
    if len(processes) > 8:
        return f"{len(processes)} processes, of which {processes[0]} is the first"
    return f"processes {', '.join(map(str, processes[:-1]))} and {processes[-1]}"


def _meet(name: str, needed: Iterable[int], value: str = "here") -> dict[int, str]:
    """Notes that this process has come, and waits for the needed ones. What each has noted."""
    if global_state.client is None:
        raise RuntimeError(
            "Processes wait for each other once they are joined, received a wait at "
            f"{name!r} before that. Call Cluster().join() first."
        )
    _uses[name] += 1
    place = f"equildm/{quote(name, safe='')}/{_uses[name]}/"
    global_state.client.key_value_set(f"{place}{global_state.process_id}", value)
    try:
        return _wait(partial(read_place, place), repr(name), needed)
    except KeyboardInterrupt:
        leave(130, "was stopped by ctrl-C")
        raise


def _wait(
    read: Callable[[], dict[int, str]],
    name: str,
    needed: Iterable[int],
    notice: str | None = None,
) -> dict[int, str]:
    """Waits until the needed processes are among those that `read` gives. `notice` is known."""
    me, of = global_state.process_id, global_state.num_processes
    began, line, pause = time.monotonic(), _FIRST_LINE, 0.001
    while True:
        gone = endings()  # first: whoever came here and ended has come
        present = read()
        missing = [process for process in needed if process not in present]
        if not missing:
            return present
        lost = [process for process in missing if process in gone]
        if lost:
            _stop(f"process {lost[0]} {gone[lost[0]]}, and does not come to {name}")
        if not handled_by_loop() and _notice() not in (None, notice):
            _stop(f"SIGTERM came while it waited for {numbered(missing)} at {name}")
        _look_for_devices()
        waited = time.monotonic() - began
        if waited >= line:
            if me == min(present):  # one speaks for all that wait
                print(
                    f"Process {me} of {of} has waited {waited:.0f} s for {numbered(missing)} at "
                    f"{name}.",
                    file=sys.stderr,
                    flush=True,
                )
            line += _NEXT_LINE
        time.sleep(pause)
        pause = min(2 * pause, _PAUSE)


@functools.cache
def _look_for_devices() -> threading.Thread:
    """JAX looks for devices in all processes together: whoever waits must not keep the others from
    it. It does so in C++, where signals are not handled, and therefore not in this thread."""

    def look() -> None:
        with contextlib.suppress(Exception):  # whoever uses the devices gets the error
            jax.devices()

    thread = threading.Thread(target=look, name="devices", daemon=True)
    thread.start()
    return thread


def _stop(why: str) -> NoReturn:
    me, of = global_state.process_id, global_state.num_processes
    print(
        f"Process {me} of {of}: {why}. Launch all of them again, with --resume.",
        file=sys.stderr,
        flush=True,
    )
    leave(STOPPED, "was asked to stop")
    raise SystemExit(STOPPED)


def _notice() -> str | None:
    client: Any = global_state.client
    try:
        return client.key_value_try_get(_NOTICE)
    except jax.errors.JaxRuntimeError as error:
        if "NOT_FOUND" not in str(error):
            raise
        return None
