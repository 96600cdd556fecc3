"""The numbers of a run: `metrics.jsonl` beside TensorBoard.

A line is `{"step": 12, "loss": 0.25, ...}`. Floats are written with as many digits as bring the
same value back, so that equal losses in two files are equal bits.
"""

import json
import numbers
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import jax
import numpy as np

from ._files import write_all, write_atomic
from .run import Run


def read_metrics(file: str | os.PathLike) -> list[dict[str, int | float]]:
    """The lines of a `metrics.jsonl`, without a last line that a killed process left incomplete.

    **Raises** `ValueError` naming any other line that is not JSON.
    """
    lines = Path(file).read_text(encoding="utf-8").split("\n")
    # Text after the last newline was cut off, even where it happens to parse.
    return [_parsed(file, number, line) for number, line in enumerate(lines[:-1], start=1)]


class MetricsLog:
    """Appends to `metrics.jsonl` and to TensorBoard's event files. Only the first process writes.

    It takes Python and numpy numbers, never device arrays: fetching one here would make every
    step wait. Fetch them some steps late instead, and log them before saving a checkpoint.
    """

    def __init__(self, run: Run, *, start: int = 0, board_every: int = 10):
        """**Arguments:**

        - `run`: the run folder.
        - `start`: the step of the checkpoint that training continues from, 0 for a new run.
            Lines of later steps, which training will repeat, are removed.
        - `board_every`: least number of steps between two points of a TensorBoard curve. A point
            takes 0.1 ms, a line of the file 0.02 ms.
        """
        self._board_every = board_every
        self._on_board: dict[str, int] = {}
        self._file: BinaryIO | None = None
        self._board: Any = None
        if jax.process_index() != 0:
            return
        from tensorboardX import SummaryWriter  # takes long to import

        if run.metrics.exists():
            lines = [m for m in read_metrics(run.metrics) if 0 < start and m["step"] <= start]
            write_atomic(run.metrics, "".join(map(_line, lines)))
        self._file = open(run.metrics, "ab", buffering=0)  # noqa: SIM115 (closed by `close`)
        # TensorBoard hides events of earlier launches from `purge_step` on.
        purge = start + 1 if start else 0
        self._board = SummaryWriter(str(run.tensorboard), purge_step=purge)

    def scalars(self, step: int, values: Mapping[str, object]) -> None:
        """Writes one line straight to the system, so that `kill -9` does not lose it.

        TensorBoard gets a new point of a curve only after `board_every` steps.

        **Raises** `ValueError` for a value that is no number on the host.
        """
        scalars = {name: _number(name, value) for name, value in values.items()}
        if self._file is None:
            return
        write_all(self._file, _line({"step": step, **scalars}).encode())
        for name, value in scalars.items():
            if step - self._on_board.get(name, -self._board_every) >= self._board_every:
                self._board.add_scalar(name, value, step)
                self._on_board[name] = step

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Adds an image, `uint8` of shape (height, width, 3), to TensorBoard.

        **Raises** `ValueError` for another dtype or shape.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
            raise ValueError(
                "An image is uint8 of shape (height, width, 3), received "
                f"{image.dtype} of shape {image.shape}. Scale to 0..255 and convert."
            )
        if self._board is not None:
            self._board.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Flushes and closes the files."""
        if self._file is not None:
            self._file.close()
            self._board.close()
            self._file = self._board = None

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


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


def _line(values: Mapping[str, int | float]) -> str:
    return json.dumps(values) + "\n"


def _parsed(file: str | os.PathLike, number: int, line: str) -> dict[str, int | float]:
    try:
        return json.loads(line)
    except ValueError as error:
        raise ValueError(
            f"Lines of a metrics file are JSON; received {line!r:.80} in line {number} of {file}. "
            "Remove the line."
        ) from error
