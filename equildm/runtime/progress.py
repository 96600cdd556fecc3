"""The progress of a loop: a live bar on a terminal, a line at intervals in a log file."""

import collections
import contextlib
import datetime
import io
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, cast, NamedTuple, TextIO

import jax
import numpy as np

from .work_clock import WorkClock

WINDOW = 30.0
"""Seconds over which the rate is averaged."""

_BURST = 0.1
"""Seconds within which updates are one: numbers that were waiting arrive together."""

_LONG = 3.0
"""Seconds from which on a log file has lines about a pause."""

_FORECAST = 1.0
"""Seconds of work from which on the time left is told."""


class _Mark(NamedTuple):
    """Units done at a time: that of the last update of a burst, which began at `begun`."""

    begun: float
    time: float
    done: int


class Progress:
    """Shows units done and in total, their rate, the newest values (the loss) and the time left.

        with Progress(10_000, start=300, label="training", batch=64) as progress:
            for step in range(300, 10_000):
                ...
                progress.update(step + 1, loss=loss)

    The rate is that of the last seconds. It leaves out the time before the first `update`, in which
    jit compiles, and pauses: those of `pause`, and gaps that are far longer than any before, as of
    a machine that slept. The time left counts the pauses to come at their share of the time so far,
    without the longest one, which compiled. Only the first process shows anything.
    """

    def __init__(
        self,
        total: int,
        *,
        start: int = 0,
        label: str = "",
        unit: str = "steps",
        batch: int = 0,
        interval: float = 10.0,
        stream: TextIO | io.TextIOBase | None = None,
        clock: WorkClock | None = None,
        forecast: Callable[[], float | None] | None = None,
    ):
        """**Arguments:**

        - `total`: units done at the end of the loop.
        - `start`: units done at its beginning.
        - `label`: a name for the loop.
        - `unit`: name of the units.
        - `batch`: examples in each unit, to show their rate as well; 0 for none.
        - `interval`: seconds between two lines where there is no terminal.
        - `stream`: a text file, standard error by default.
        - `clock`: of the loop's work, if something else reads it too.
        - `forecast`: the seconds left, for units whose rate says little of them.
        """
        self.total, self.done = total, start
        self.label, self.unit, self.batch, self.interval = label, unit, batch, interval
        self._stream = cast(TextIO, sys.stderr if stream is None else stream)
        self._values: dict[str, float | np.number] = {}
        self._marks: collections.deque[_Mark] = collections.deque()
        self._clock = WorkClock() if clock is None else clock
        self._forecast = forecast
        self._worked = 0.0  # seconds between updates, without the gaps that are no work
        self._doing = ""
        self._seconds: dict[str, float] = {}  # that each kind of pause took the last time
        self._last_line = -math.inf
        self._silent = jax.process_index() != 0
        self._live: Any = None
        self._task: Any = None

    def __enter__(self) -> "Progress":
        if self._silent or not self._stream.isatty():
            return self
        from rich import progress
        from rich.console import Console

        self._live = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=24),
            progress.TextColumn("{task.fields[status]}"),
            console=Console(file=self._stream),
            refresh_per_second=2,
        )
        self._task = self._live.add_task(
            self.label, total=self.total, completed=self.done, status=self.status()
        )
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.stop()
        elif self._marks and not self._silent:
            self._write(self._described())

    def update(self, done: int, **values: float | np.number) -> None:
        """Sets the units done and the values to show, which must be on the host already."""
        self.done, self._doing = done, ""
        self._values.update(values)
        self._mark(self._clock.now(), done)
        now = time.monotonic()
        if self._live is not None:
            self._show()
        elif now - self._last_line >= self.interval and not self._silent:
            self._last_line = now
            self._write(self._described())

    def wait_for(self, what: str) -> None:
        """Says what happens before the next `update`, such as compiling: it is no work."""
        self._doing = what
        self._marks.clear()
        if self._live is not None:
            self._show()
        elif not self._silent:
            self._write(self._described())

    @contextlib.contextmanager
    def pause(self, what: str) -> Iterator[None]:
        """Leaves the time of the block out of the rate, and says what it does.

        A log file has a line before a block that may take seconds, as it did the last time or as
        it has not run yet, and one with the time that it took.
        """
        before, self._doing = self._doing, what
        self._show()
        lines = self._live is None and not self._silent
        if lines and self._seconds.get(what, math.inf) >= _LONG:
            self._write(self._described())
        start = time.monotonic()
        try:
            with self._clock.pause():
                yield
        finally:
            self._doing = before
            self._show()
            self._seconds[what] = seconds = time.monotonic() - start
            if lines and seconds >= _LONG:
                self._write(f"{self.label} {what} took {seconds:.0f} s".strip())

    def print(self, text: str) -> None:
        """Writes a line of text above the bar."""
        if self._live is not None:
            self._live.console.print(text, highlight=False, markup=False)
        elif not self._silent:
            self._write(text)

    @property
    def rate(self) -> float | None:
        """Recent units a second of work, `None` before the second `update`."""
        if len(self._marks) < 2:
            return None
        first, last = self._marks[0], self._marks[-1]
        return (last.done - first.done) / (last.time - first.time)

    @property
    def left(self) -> float | None:
        """Seconds until the end, `None` where they cannot be told yet."""
        if self._forecast is not None:
            return self._forecast()
        rate = self.rate
        if not rate or self._worked < _FORECAST:
            return None
        pauses = (self._clock.paused - self._clock.longest) / self._worked
        return (self.total - self.done) / rate * (1 + pauses)

    def status(self) -> str:
        """`120/1000 steps, 3.21 steps/s, loss 0.1234, 0:04:34 left`."""
        parts = [f"{self.done}/{self.total} {self.unit}"]
        rate, left = self.rate, self.left
        if rate:
            parts.append(f"{rate:.3g} {self.unit}/s")
            if self.batch:
                parts.append(f"{rate * self.batch:.3g} examples/s")
        parts += [f"{name} {value:.4g}" for name, value in self._values.items()]
        if left is not None and self.done < self.total:
            parts.append(f"{datetime.timedelta(seconds=round(left))} left")
        return ", ".join([*parts, self._doing] if self._doing else parts)

    def _mark(self, now: float, done: int) -> None:
        marks = self._marks
        if marks and now - marks[-1].begun < _BURST:
            self._worked += now - marks[-1].time
            marks[-1] = _Mark(marks[-1].begun, now, done)
            return
        if len(marks) > 1:
            gap, usual = now - marks[-1].time, (marks[-1].time - marks[0].time) / (len(marks) - 1)
            if gap > max(WINDOW, 10 * usual):
                marks.clear()
        if marks:
            self._worked += now - marks[-1].time
        marks.append(_Mark(now, now, done))
        while len(marks) > 2 and now - marks[1].time >= WINDOW:
            marks.popleft()

    def _show(self) -> None:
        if self._live is not None:
            self._live.update(self._task, completed=self.done, status=self.status())

    def _described(self) -> str:
        return f"{self.label} {self.status()}".strip()

    def _write(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()
