"""The loop around a step: data in, numbers, checkpoints and pictures out."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8

from ..runtime import (
    agreed,
    Checkpoints,
    first_process,
    Interrupt,
    MetricsLog,
    Progress,
    Run,
    save_png,
    STOPPED,
)
from .state import TrainState
from .step import Step
from .waiting import Waiting

Pictures = Callable[[TrainState], UInt8[np.ndarray, "height width 3"]]

_LAG = 2
"""Metrics are fetched this many steps late, so that the device never waits for the host."""


@dataclasses.dataclass(frozen=True)
class Intervals:
    """How often things happen, in steps."""

    log: int = 10
    """Metrics are fetched and written; every step has its line."""
    save: int = 1000
    """A checkpoint is written."""
    sample: int = 1000
    """Pictures are made."""

    def __post_init__(self):
        if min(self.log, self.save, self.sample) < 1:
            raise ValueError(
                f"Intervals are at least 1 step, received {self}. For 'never', use a large number."
            )


class Diverged(RuntimeError):
    """The loss or its gradient was infinite or not a number."""


class Stopped(SystemExit):
    """Training was asked to stop, by ctrl-C or SIGTERM, and everything is saved.

    A script that lets it pass ends with the exit code `STOPPED`, 75: the same command goes on.
    """

    def __init__(self) -> None:
        super().__init__(STOPPED)


def resume(state: TrainState, checkpoints: Checkpoints) -> tuple[TrainState, int]:
    """The newest checkpoint's state and data position; the state as it is and 0 if there is none.

    `state` gives shapes and shardings, of any mesh and number of processes, and its memory. A
    checkpoint of its own step, or of an earlier one, is that of a model before this one: only the
    data goes on from there.
    """
    latest = agreed(checkpoints.latest())
    if latest is None:
        return state, 0
    if latest <= int(state.step):
        return state, int(checkpoints.restore({}, latest).meta["position"])
    pieces = state.pieces()
    like = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), pieces
    )
    for leaf in jax.tree.leaves(pieces):
        leaf.delete()  # what is restored takes its place
    restored = checkpoints.restore(like, latest)
    return state.with_pieces(restored.items), int(restored.meta["position"])


def fit(
    state: TrainState,
    step: Step,
    data: Iterator[Any],
    *,
    run: Run,
    checkpoints: Checkpoints,
    steps: int,
    batch_size: int,
    every: Intervals = Intervals(),
    pictures: Pictures | None = None,
    snapshots: Checkpoints | None = None,
    label: str = "training",
) -> TrainState:
    """Trains until `steps` steps are done, then saves.

    **Arguments:**

    - `state`: where to begin; see `resume`.
    - `step`: from `make_step`.
    - `data`: batches, with a `position` that a checkpoint can hold.
    - `run`, `checkpoints`: where everything goes.
    - `steps`: the number of the last step.
    - `batch_size`: examples a step, for the rate that is shown.
    - `every`: intervals.
    - `pictures`: makes a picture of the state, kept in the run's `samples/` and log.
    - `snapshots`: keeps the averages at its own interval, for `posthoc_average`.
    - `label`: what the progress line calls this.

    **Raises** `Stopped` after ctrl-C or SIGTERM, with the step that was under way done and saved;
    with several processes a signal to one stops all at the same step.

    **Raises** `Diverged` at the first loss or gradient that is not finite. The state is not
    touched by such a step, and the last checkpoint is good.
    """
    done = int(state.step)
    waiting = Waiting(data)
    with (
        Interrupt() as interrupt,
        MetricsLog(run, start=done) as log,
        Progress(steps, start=done, label=label, batch=batch_size) as progress,
    ):
        pending: list[tuple[int, Any]] = []

        def write(until: int) -> None:
            while pending and pending[0][0] <= until:
                number, device_metrics = pending.pop(0)
                metrics = jax.device_get(device_metrics)
                _check_finite(number, metrics, checkpoints)
                log.scalars(number, metrics)
                if number % every.log == 0 or number == steps:
                    progress.update(number, loss=float(metrics["loss"]))

        def save(target: Checkpoints) -> None:
            write(done)
            target.save(done, state.pieces(), {"position": waiting.position})

        stopped = interrupt.stop()
        while done < steps and not stopped:
            state, metrics = step(state, next(waiting))
            done += 1
            pending.append((done, metrics))
            if done % every.log == 0:
                write(done - _LAG)
            if checkpoints.due(done):
                save(checkpoints)
            # A resumed run comes by the snapshots of the run that was killed, and makes the same.
            if snapshots is not None and snapshots.due(done) and done > (snapshots.latest() or 0):
                snapshots.save(done, {"ema": state.pieces()["ema"]}, {})
            if pictures is not None and (done % every.sample == 0 or done == steps):
                write(done)
                picture = pictures(state)
                if first_process():
                    save_png(run.samples / f"step_{done:08d}.png", picture)
                log.image(done, "samples", picture)
            stopped = interrupt.stop()
        save(checkpoints)
        checkpoints.wait()
        if snapshots is not None:
            snapshots.wait()
        progress.print(f"{waiting.share():.1%} of the time was spent waiting for data.")
        if stopped:
            progress.print(f"Stopped at step {done} of {steps}, saved. Go on with --resume.")
            raise Stopped
    return state


def _check_finite(number: int, metrics: dict[str, Any], checkpoints: Checkpoints) -> None:
    if metrics["finite"]:
        return
    saved = checkpoints.latest()
    where = "There is no checkpoint yet" if saved is None else f"Step {saved} is saved"
    raise Diverged(
        f"Step {number}: loss {metrics['loss']}, gradient norm {metrics['grad_norm']}. "
        f"{where}. Lower the learning rate, warm up longer or clip harder, then --resume."
    )
