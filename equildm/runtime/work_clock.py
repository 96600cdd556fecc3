"""A clock of the work that a loop is for, which stands still while the loop does something else."""

import contextlib
import time
from collections.abc import Iterator


class WorkClock:
    """Seconds of work, without pauses such as previews.

    clock = WorkClock()
    with clock.pause():
        ...  # takes no time by this clock
    """

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._pause_start: float | None = None
        self.paused = 0.0
        """Seconds of all pauses that are over."""
        self.longest = 0.0
        """Seconds of the longest one: mostly the first, which compiles."""

    def now(self) -> float:
        """Seconds of work since the clock was made."""
        end = time.monotonic() if self._pause_start is None else self._pause_start
        return end - self._start - self.paused

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Stops the clock while the block runs. A pause inside of another is part of it."""
        if self._pause_start is not None:
            yield
            return
        self._pause_start = time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - self._pause_start
            self.paused, self.longest = self.paused + seconds, max(self.longest, seconds)
            self._pause_start = None
