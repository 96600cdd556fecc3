"""The progress of a loop: a live bar on a terminal, a line at intervals in a log file."""

import collections
import datetime
import io
import math
import sys
import time
from typing import Any, cast, TextIO

import jax
import numpy as np

WINDOW = 30.0
"""Seconds over which the rate is averaged."""


class Progress:
    """Shows units done and in total, their rate, the newest values (the loss) and the time left.

        with Progress(10_000, start=300, label="training", batch=64) as progress:
            for step in range(300, 10_000):
                ...
                progress.update(step + 1, loss=loss)

    The rate leaves out the time before the first `update`, in which jit compiles. Only the first
    process shows anything.
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
    ):
        """**Arguments:**

        - `total`: units done at the end of the loop.
        - `start`: units done at its beginning.
        - `label`: a name for the loop.
        - `unit`: name of the units.
        - `batch`: examples in each unit, to show their rate as well; 0 for none.
        - `interval`: seconds between two lines where there is no terminal.
        - `stream`: a text file, standard error by default.
        """
        self.total, self.done = total, start
        self.label, self.unit, self.batch, self.interval = label, unit, batch, interval
        self._stream = cast(TextIO, sys.stderr if stream is None else stream)
        self._values: dict[str, float | np.number] = {}
        self._marks: collections.deque[tuple[float, int]] = collections.deque()
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
        now = time.monotonic()
        self.done = done
        self._values.update(values)
        self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[1][0] >= WINDOW:
            self._marks.popleft()
        if self._live is not None:
            self._live.update(self._task, completed=done, status=self.status())
        elif now - self._last_line >= self.interval and not self._silent:
            self._last_line = now
            self._write(self._described())

    def print(self, text: str) -> None:
        """Writes a line of text above the bar."""
        if self._live is not None:
            self._live.console.print(text, highlight=False, markup=False)
        elif not self._silent:
            self._write(text)

    @property
    def rate(self) -> float | None:
        """Recent units a second, `None` before the second `update`."""
        if len(self._marks) < 2:
            return None
        (since, first), (now, last) = self._marks[0], self._marks[-1]
        return (last - first) / (now - since) if now > since else None

    def status(self) -> str:
        """`120/1000 steps, 3.21 steps/s, loss 0.1234, 0:04:34 left`."""
        parts = [f"{self.done}/{self.total} {self.unit}"]
        rate = self.rate
        if rate:
            parts.append(f"{rate:.3g} {self.unit}/s")
            if self.batch:
                parts.append(f"{rate * self.batch:.3g} examples/s")
        parts += [f"{name} {value:.4g}" for name, value in self._values.items()]
        if rate and self.done < self.total:
            left = datetime.timedelta(seconds=round((self.total - self.done) / rate))
            parts.append(f"{left} left")
        return ", ".join(parts)

    def _described(self) -> str:
        return f"{self.label} {self.status()}".strip()

    def _write(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()
