"""How fast the steps of a launch are, and how long the first one takes."""

import json
import mmap
from pathlib import Path

from ..runtime import memory_use, WorkClock

FIRST_STEP = "first_step_seconds"
"""In `timing.jsonl`, at the first step of a launch: the time until its metrics arrived."""


class StepTimer:
    """The rate of the steps, from the moments at which their metrics arrive on the host.

    Nothing waits for the device: metrics that are fetched late tell that their step is done.
    """

    def __init__(self, clock: WorkClock, batch_size: int):
        """**Arguments:**

        - `clock`: stands still in previews, validation and saving.
        - `batch_size`: examples of a step.
        """
        self._clock, self._batch_size = clock, batch_size
        self._since: tuple[float, int] | None = None
        self.peak_share: float | None = None
        """The share of the devices' peak at which they do one step a second, if it is known."""

    def begin(self, step: int) -> None:
        """The step is done, and the next ones are measured."""
        self._since = self._clock.now(), step

    def measure(self, step: int) -> dict[str, float]:
        """The numbers since the last measurement, with `step` done now; none if no step is new.

        **Returns:** `examples_per_second`, `mfu` where `peak_share` is known, and the memory, see
        `memory_use`.
        """
        now = self._clock.now()
        if self._since is None or step <= self._since[1] or now <= self._since[0]:
            return {}
        rate = (step - self._since[1]) / (now - self._since[0])
        self._since = now, step
        values = {"examples_per_second": rate * self._batch_size}
        if self.peak_share is not None:
            values["mfu"] = rate * self.peak_share
        return values | memory_use()


def last_first_step(file: Path) -> float | None:
    """Seconds that the newest launch took for its first step, most of them to compile it.

    **Arguments:**

    - `file`: a `timing.jsonl`, which need not exist. It is searched from its end.
    """
    if not file.exists() or file.stat().st_size == 0:
        return None
    with open(file, "rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as text:
        place = text.rfind(b'"' + FIRST_STEP.encode() + b'"')
        if place < 0:
            return None
        start, end = text.rfind(b"\n", 0, place) + 1, text.find(b"\n", place)
        line = text[start:end] if end >= 0 else b""
    try:
        return float(json.loads(line)[FIRST_STEP])
    except ValueError:  # cut off, or not ours
        return None
