"""Ending a loop on request, so that it can save before it goes."""

import signal
from collections.abc import Sequence
from typing import Any


class Interrupt:
    """Turns the first ctrl-C, or a SIGTERM, into a flag for the loop to read.

        with Interrupt() as interrupt:
            while step < steps and not interrupt.requested:
                ...
        checkpoints.save(...)

    A second ctrl-C raises `KeyboardInterrupt` at once. The handlers that were there come back on
    leaving. Must be entered on the main thread, as Python's signals must.
    """

    def __init__(self, signals: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGTERM)):
        """**Arguments:**

        - `signals`: those to catch. Leave SIGTERM out where something else listens to it.
        """
        self.signals = tuple(signals)
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return self.received is not None

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
