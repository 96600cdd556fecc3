"""Ending a loop on request, so that it can save before it goes."""

import itertools
import signal
import sys
from collections.abc import Sequence
from typing import Any

import jax

STOPPED = 75
"""Exit code of a program that was asked to stop and can be launched again to go on: EX_TEMPFAIL of
`sysexits.h`, "try again later"."""

_questions = itertools.count(1)
"""JAX counts the questions of a process from its start, and has all stop at the same one."""


class Interrupt:
    """Turns the first ctrl-C, or a SIGTERM, into an answer for the loop to ask for.

        with Interrupt() as interrupt:
            while step < steps and not interrupt.stop():
                ...
            checkpoints.save(...)

    A second ctrl-C raises `KeyboardInterrupt` at once. The handlers that were there come back on
    leaving. Must be entered on the main thread, as Python's signals must.

    With several processes a signal to any of them stops all at the same step: JAX's preemption
    service listens for SIGTERM, on a second's notice, and lets them agree.
    """

    def __init__(self, signals: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGTERM)):
        """**Arguments:**

        - `signals`: those to catch. Leave SIGTERM out where something else listens to it.
        """
        self._together = jax.process_count() > 1
        # JAX's own handler, outside of Python, must stay where it is.
        self.signals = tuple(s for s in signals if not (self._together and s == signal.SIGTERM))
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal has come to this process."""
        return self.received is not None

    def stop(self) -> bool:
        """Whether to stop before the next step. Every process asks before each step, and gets the
        same answer."""
        if not self._together:
            return self.requested
        from jax.experimental import multihost_utils

        return multihost_utils.reached_preemption_sync_point(next(_questions))

    def __enter__(self) -> "Interrupt":
        self._before = {number: signal.signal(number, self._handle) for number in self.signals}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            # `None` stands for a handler that was not installed from Python.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _handle(self, number: int, frame: Any) -> None:
        del frame
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = self.received or signal.Signals(number)
        if self._together:
            signal.raise_signal(signal.SIGTERM)


def exit_on_sigterm() -> None:
    """From now on SIGTERM ends this process with `STOPPED`, wherever no `Interrupt` catches it.

    For the time before the loop, when there is nothing to save. Files are closed and temporary
    ones removed on the way.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(STOPPED))
