"""What a study took: training, distillation and sampling in operations, images and time."""

import collections
from collections.abc import Sequence

from .cost import training_flops
from .table import Row


def describe_effort(rows: Sequence[Row]) -> str:
    """A paragraph for the report.

    **Arguments:**

    - `rows`: the whole table.
    """
    trained, distilled = [r for r in rows if not r.method], [r for r in rows if r.method]
    sentences = [f"Trained {_training(trained)}."] if trained else []
    if distilled:
        sentences.append(
            f"Distilled {_training(distilled)}, the teachers' evaluations not counted."
        )
    images = sum(row.count for row in rows)
    operations = sum(1e9 * row.gflops * row.evaluations * row.branches * row.count for row in rows)
    hours: dict[str, float] = collections.defaultdict(float)
    for row in rows:
        hours[row.device] += row.seconds * row.count / 3600
    times = " and ".join(f"{time:.2g} hours of {device}" for device, time in hours.items())
    sentences.append(f"Sampled {images:,} images, {operations:.2g} operations, in {times}.")
    return " ".join(sentences)


def _training(rows: Sequence[Row]) -> str:
    """How long each run trained, and the operations of its own network."""
    last: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: (row.size, row.run, row.train_step)):
        last[row.run] = row
    lengths = []
    for row in last.values():
        model = str(row.size) + (f" by {row.method}" if row.method else "")
        lengths.append(f"{model}: {row.train_step:,} steps")
    total = sum(training_flops(row.gflops, row.batch, row.train_step) for row in last.values())
    return f"{', '.join(lengths)}, {total:.2g} operations in all"
