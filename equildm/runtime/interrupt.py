"""Ending a loop on request, so that it can save before the process ends."""

import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType

import jax

STOPPED = 75
"""Exit code of a program that was asked to stop and can be launched again to continue: EX_TEMPFAIL
of `sysexits.h`, "try again later"."""

_queries = itertools.count(1)
"""JAX numbers the queries of a process from its start, and stops all processes at the same one."""

_entered: "list[Interrupt]" = []


def handled_by_loop() -> bool:
    """Whether a loop catches signals now, by an `Interrupt`, and ends when all processes can."""
    return bool(_entered)


class Interrupt:
    """Turns the first ctrl-C, or a SIGTERM, into a flag that the loop reads.

        with Interrupt() as interrupt:
            while step < steps and not interrupt.stop():
                ...
            checkpoints.save(...)

    A second ctrl-C raises `KeyboardInterrupt` at once. The previous handlers are restored on
    leaving. Enter it on the main thread, where Python handles signals.

    With several processes a signal to any of them stops all at the same step: JAX's preemption
    service listens for SIGTERM, with about a second's delay, and agrees on the step.
    """

    def __init__(self, signals: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGTERM)):
        """**Arguments:**

        - `signals`: the signals to catch. Leave SIGTERM out where something else handles it.
        """
        self._together = jax.process_count() > 1
        # JAX's own handler, outside of Python, must stay in place.
        self.signals = tuple(s for s in signals if not (self._together and s == signal.SIGTERM))
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Callable[..., object] | int | None] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal has come to this process."""
        return self.received is not None

    def stop(self) -> bool:
        """Whether to stop before the next step.

        Every process calls this before each step, and all get the same answer.
        """
        if not self._together:
            return self.requested
        from jax.experimental import multihost_utils

        return multihost_utils.reached_preemption_sync_point(next(_queries))

    def __enter__(self) -> "Interrupt":
        self._before = {number: signal.signal(number, self._handle) for number in self.signals}
        _entered.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        _entered.remove(self)
        for number, handler in self._before.items():
            # `None` stands for a handler that was not installed from Python.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = self.received or signal.Signals(number)
        if self._together:
            signal.raise_signal(signal.SIGTERM)


def exit_on_sigterm() -> None:
    """Makes SIGTERM end this process with exit code `STOPPED`, unless an `Interrupt` catches it.

    For the time before the loop, when there is nothing to save. Files are closed and temporary
    ones removed.
    """
    others = sys.unraisablehook

    def send_again(ignored: "sys.UnraisableHookArgs") -> None:
        error = ignored.exc_value
        if isinstance(error, SystemExit) and error.code == STOPPED:
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
        else:
            others(ignored)

    # Python ignores an exit raised in a callback of its garbage collector, as JAX has one.
    sys.unraisablehook = send_again
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(STOPPED))
