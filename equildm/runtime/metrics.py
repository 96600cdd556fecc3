"""The numbers of a run: `metrics.jsonl`, `timing.jsonl`, and what trackers show of both.

A line is `{"step": 12, "loss": 0.25, ...}`. Floats are written with as many digits as bring the
same value back, so that equal losses in two files are equal bits. What a clock or the memory tells
differs from launch to launch: it has a file of its own, so that `metrics.jsonl` of a run that was
interrupted equals that of one that was not.
"""

import json
import logging
import numbers
import os
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO

import jax
import numpy as np

from ._files import write_all
from ._json_lines import cut_after, Line, read_lines
from .run import Run
from .tracker import AbstractTracker, TensorBoardTracker

TIMING = "timing.jsonl"
"""The file of a run folder that holds what a clock and the memory tell."""

_log = logging.getLogger("equildm.runtime")


def read_metrics(file: str | os.PathLike[str]) -> list[Line]:
    """The lines of a `metrics.jsonl` or `timing.jsonl`, without a last line that a killed process
    left incomplete.

    **Raises** `ValueError` naming any other line that is not JSON.
    """
    return read_lines(file)


class MetricsLog:
    """Appends to `metrics.jsonl` and `timing.jsonl`, and tells trackers. Only the first process
    writes.

    It takes Python and numpy numbers, never device arrays: fetching one here would make every
    step wait. Fetch them some steps late instead, and log them before saving a checkpoint.

    A tracker that raises an error is left out from then on, and the log says so: no training ends
    because a server is away.
    """

    def __init__(
        self,
        run: Run,
        *,
        start: int = 0,
        trackers: Sequence[AbstractTracker] | None = None,
        track_every: int = 10,
    ):
        """**Arguments:**

        - `run`: the run folder.
        - `start`: the step of the checkpoint that training continues from, 0 for a new run.
            Lines of later steps, which training will repeat, are removed.
        - `trackers`: closed with the log; by default TensorBoard.
        - `track_every`: least number of steps between two points of a tracker's curve. A point
            of TensorBoard takes 0.1 ms, a line of the file 0.02 ms.

        **Raises** `ValueError` naming a line that would be removed and is not JSON.
        """
        self._track_every = track_every
        self._tracked: dict[str, int] = {}
        self._files: tuple[BinaryIO, BinaryIO] | None = None
        self._trackers: list[AbstractTracker] = []
        if jax.process_index() != 0:
            return
        paths = run.metrics, run.path / TIMING
        for path in paths:
            cut_after(path, start)
        metrics, timing = (open(path, "ab", buffering=0) for path in paths)  # noqa: SIM115
        self._files = metrics, timing  # until `close`
        self._trackers = [TensorBoardTracker(run, start)] if trackers is None else [*trackers]

    def scalars(self, step: int, values: Mapping[str, object]) -> None:
        """Writes a line of `metrics.jsonl` straight to the system, so that `kill -9` does not lose
        it. Trackers get a new point of a curve only after `track_every` steps.

        **Raises** `ValueError` for a value that is no number on the host.
        """
        self._write(0, step, values)

    def timing(self, step: int, values: Mapping[str, object]) -> None:
        """Writes a line of `timing.jsonl`, as `scalars` does: what no other launch would repeat."""
        self._write(1, step, values)

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Shows an image, `uint8` of shape (height, width, 3), in the trackers.

        **Raises** `ValueError` for another dtype or shape.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
            raise ValueError(
                "An image is uint8 of shape (height, width, 3), received "
                f"{image.dtype} of shape {image.shape}. Scale to 0..255 and convert."
            )
        self._tell(lambda tracker: tracker.image(step, name, image))

    def close(self) -> None:
        """Closes the files and the trackers."""
        if self._files is not None:
            for file in self._files:
                file.close()
            self._files = None
        self._tell(lambda tracker: tracker.close())
        self._trackers = []

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _write(self, file: int, step: int, values: Mapping[str, object]) -> None:
        scalars = {name: _number(name, value) for name, value in values.items()}
        if self._files is None:
            return
        write_all(self._files[file], (json.dumps({"step": step, **scalars}) + "\n").encode())
        every = self._track_every
        due = {n: v for n, v in scalars.items() if step - self._tracked.get(n, -every) >= every}
        if due:
            self._tracked |= dict.fromkeys(due, step)
            self._tell(lambda tracker: tracker.scalars(step, due))

    def _tell(self, call: Callable[[AbstractTracker], None]) -> None:
        for tracker in [*self._trackers]:
            try:
                call(tracker)
            except Exception as error:
                self._trackers.remove(tracker)
                _log.warning("%s failed and is left out: %r", type(tracker).__name__, error)


def _number(name: str, value: object) -> int | float:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, numbers.Integral | np.bool_):
        return int(value)
    if isinstance(value, numbers.Real | np.generic):
        return float(value)  # a float32 is exact as a float64, whose repr is exact
    raise ValueError(
        f"A metric is a Python or numpy number, received {type(value).__name__} for {name!r}. "
        "Fetch device arrays first, some steps late: jax.device_get(metrics)."
    )
