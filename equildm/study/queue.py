"""Doing a list of units of work together with other processes, each unit once."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from ..runtime import Locks

Finish = Callable[[], None]
PLACES = 0.618
"""Where the second process begins, as a share of the list; the third at twice that, modulo 1."""


def share_work(
    units: Sequence[str],
    *,
    locks: Locks,
    is_done: Callable[[str], bool],
    begin: Callable[[str], Finish | None],
    progress: Callable[[], None] | None = None,
    wait: float = 1.0,
) -> None:
    """Does every unit that is not done and that no other living process is doing.

    Returns when all are done, whoever did them: a unit whose process died is taken over. Any number
    of processes may run this on the same list; each begins at a place of its own.

    **Arguments:**

    - `units`: names, in the order in which one process would do them.
    - `locks`: of this process, entered.
    - `is_done`: whether a unit's result is there.
    - `begin`: does a unit. It may leave the last part to the function that it returns, which runs
        on another thread while the next unit begins, so that the device need not wait for the host.
        The result must be there when that function has returned.
    - `progress`: called after each unit, and now and then while waiting.
    - `wait`: seconds between two looks at what other processes hold.
    """
    units = list(units)
    start = int(len(units) * (locks.others() * PLACES % 1)) if units else 0
    left = units[start:] + units[:start]
    with ThreadPoolExecutor(1) as thread:
        pending: tuple[str, Future[None]] | None = None

        def settle() -> None:
            nonlocal pending
            if pending is not None:
                (unit, future), pending = pending, None
                future.result()
                locks.clear(unit)
                if progress is not None:
                    progress()

        while left:
            began = 0
            remaining = []
            for unit in left:
                if is_done(unit):
                    continue
                if not locks.acquire(unit):
                    remaining.append(unit)
                    continue
                if is_done(unit):  # finished between the look and the lock
                    locks.clear(unit)
                    continue
                began += 1
                finish = begin(unit)
                settle()
                pending = unit, thread.submit(finish or (lambda: None))
            settle()
            left = remaining
            if left and not began:
                if progress is not None:
                    progress()
                time.sleep(wait)
