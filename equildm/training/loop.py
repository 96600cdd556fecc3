"""The loop around a step: batches in, metrics, checkpoints and previews out."""

import dataclasses
import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np
from jaxtyping import Array, UInt8

from .._types import Batch
from ..images import save_png
from ..runtime import (
    AbstractTracker,
    Checkpoints,
    first_process,
    Interrupt,
    MetricsLog,
    Progress,
    Run,
    STOPPED,
    UserError,
    WorkClock,
)
from ..runtime.freed_memory import give_back_freed_memory
from ..runtime.metrics import TIMING
from .data_wait import DataWait
from .resume import NO_FACTS
from .state import TrainState
from .step import Step
from .step_timer import FIRST_STEP, last_first_step, StepTimer

Preview: TypeAlias = Callable[[TrainState], UInt8[np.ndarray, "height width 3"]]
"""Makes one image of a state, for instance a grid of samples. Every process calls it."""

Validate: TypeAlias = Callable[[TrainState], dict[str, float]]
"""Scores a state, see `Validation`. Every process calls it."""

PeakShare: TypeAlias = Callable[[TrainState, Batch], float | None]
"""Which share of the devices' peak one step a second is, if that is known."""

_SHOWN = {"loss": "loss", "validation": "validation_loss_ema"}
"""What the progress line shows, by the names of the metrics."""

_LAG = 2
"""Metrics are fetched this many steps late, so that the device never waits for the host."""


@dataclasses.dataclass(frozen=True)
class Intervals:
    """How many steps lie between two logs, two previews and two validations."""

    log: int = 10
    """Steps between two fetches of the metrics; every step has its line."""
    preview: int = 1000
    """Steps between two previews."""
    validation: int = 1000
    """Steps between two validations."""

    def __post_init__(self) -> None:
        if min(self.log, self.preview, self.validation) < 1:
            raise ValueError(
                f"Intervals are at least 1 step, received {self}. For 'never', use a large number."
            )


class Diverged(UserError, RuntimeError):
    """The loss or its gradient was infinite or not a number."""


class Stopped(SystemExit):
    """Training was stopped by ctrl-C or SIGTERM, and everything is saved.

    A script that does not catch it ends with the exit code `STOPPED`, 75: the same command with
    `--resume` goes on.
    """

    def __init__(self) -> None:
        super().__init__(STOPPED)


def fit(
    state: TrainState,
    step: Step,
    data: Iterator[Batch],
    *,
    run: Run,
    checkpoints: Checkpoints,
    steps: int,
    batch_size: int,
    every: Intervals = Intervals(),
    preview: Preview | None = None,
    validate: Validate | None = None,
    trackers: Sequence[AbstractTracker] | None = None,
    peak_share: PeakShare | None = None,
    snapshots: Checkpoints | None = None,
    label: str = "training",
    bad_steps: int = 0,
    facts: Mapping[str, Any] = NO_FACTS,
) -> TrainState:
    """Trains until `steps` steps are done, then saves.

    **Arguments:**

    - `state`: where to begin; see `resume`.
    - `step`: from `make_step`.
    - `data`: batches, with a `position` that a checkpoint can hold.
    - `run`: receives metrics and previews.
    - `checkpoints`: receives the states.
    - `steps`: the number of the last step.
    - `batch_size`: examples in a step, for the rate that the progress line shows.
    - `every`: intervals of logs, previews and validations; that of checkpoints is in `checkpoints`.
    - `preview`: makes an image of the state, for the run's `samples/` and its log.
    - `validate`: scores the state; its numbers stand on the line of their step.
    - `trackers`: show the curves; by default TensorBoard.
    - `peak_share`: for the utilisation of the devices; asked once, while the first step runs.
    - `snapshots`: receives the averages at its own interval, for `posthoc_average`.
    - `label`: name of the training in the progress line.
    - `bad_steps`: how many steps may fail.
    - `facts`: what the checkpoints say of themselves: the names of their `averages` in their order,
        and a fingerprint of the `data`, if it is known.

    **Returns:** the state after the last step.

    **Raises** `Stopped` after ctrl-C or SIGTERM, once the current step is done and saved. With
    several processes a signal to one of them stops all at the same step.

    **Raises** `Diverged` once more than `bad_steps` losses or gradients were not finite. Such a
    step does not change the weights, and the last checkpoint is good.
    """
    done = int(state.step)
    batches = DataWait(data)
    clock = WorkClock()
    timer = StepTimer(clock, batch_size)
    usual = last_first_step(run.path / TIMING)
    with (
        Interrupt() as interrupt,
        MetricsLog(run, start=done, trackers=trackers) as log,
        Progress(steps, start=done, label=label, batch=batch_size, clock=clock) as progress,
    ):
        pending: list[tuple[int, dict[str, Array | float]]] = []
        bad = 0

        def write(until: int) -> None:
            nonlocal bad
            number, shown = 0, dict[str, float]()
            while pending and pending[0][0] <= until:
                number, device_metrics = pending.pop(0)
                metrics = jax.device_get(device_metrics)
                if not metrics["finite"]:
                    bad += 1
                    progress.print(_check_bad(number, metrics, checkpoints, bad, bad_steps))
                log.scalars(number, metrics)
                shown |= {n: float(metrics[k]) for n, k in _SHOWN.items() if k in metrics}
            if number:
                progress.update(number, **shown)

        def save(target: Checkpoints) -> None:
            write(done)
            with progress.pause("saving"):
                target.save(done, state.pieces(), {"position": batches.position, **facts})

        def due(interval: int) -> bool:
            return done % interval == 0 or done == steps

        stopped = interrupt.stop()
        first = done + 1
        if done < steps and not stopped:
            progress.wait_for(_compiling(usual))
        compiled: set[tuple[tuple[int, ...], ...]] = set()
        while done < steps and not stopped:
            batch = next(batches)
            shapes = tuple(np.shape(leaf) for leaf in jax.tree.leaves(batch))
            compiles = shapes not in compiled
            if compiles and compiled:
                write(done)
                progress.wait_for("compiling for another shape of images")
            compiled.add(shapes)
            state, metrics = step(state, batch)
            done += 1
            pending.append((done, {**metrics}))
            if validate is not None and due(every.validation):
                jax.block_until_ready(metrics)  # so that the pause is all of it
                with progress.pause("validating"):
                    pending[-1][1].update(validate(state))
            if done == first:
                timer.peak_share = peak_share(state, batch) if peak_share is not None else None
            if compiles:
                write(done)  # it waited for the compiler: nothing is lost by waiting for its end
                give_back_freed_memory()
                if done == first:
                    log.timing(done, {FIRST_STEP: clock.now()})
                timer.begin(done)
            if done % every.log == 0:
                write(done - _LAG)
                if measured := timer.measure(done - _LAG):
                    log.timing(done - _LAG, measured)
            if checkpoints.due(done):
                save(checkpoints)
            # A resumed run passes the snapshots that it saved before it was killed.
            if snapshots is not None and snapshots.due(done) and done > (snapshots.latest() or 0):
                snapshots.save(done, {"ema": state.pieces()["ema"]}, {**facts})
            if preview is not None and due(every.preview):
                write(done)
                with progress.pause("making a preview"):
                    image = preview(state)
                if first_process():
                    save_png(run.samples / f"step_{done:08d}.png", image)
                log.image(done, "samples", image)
            stopped = interrupt.stop()
        save(checkpoints)
        checkpoints.wait()
        if snapshots is not None:
            snapshots.wait()
        progress.print(f"{batches.share():.1%} of the time was spent waiting for data.")
        if stopped:
            progress.print(f"Stopped at step {done} of {steps}, saved. Go on with --resume.")
            raise Stopped
    return state


def _compiling(usual: float | None) -> str:
    """What to tell of the time before the first step, which took so many seconds last time."""
    if usual is None:
        return "compiling the first step"
    return f"compiling, {datetime.timedelta(seconds=round(usual))} at the last launch"


def _check_bad(
    number: int, metrics: dict[str, np.ndarray], checkpoints: Checkpoints, bad: int, most: int
) -> str:
    """What to tell of a step that failed. `Diverged` if it is one too many."""
    text = f"Step {number}: loss {metrics['loss']}, gradient norm {metrics['grad_norm']}"
    if bad <= most:
        return f"{text}. It was skipped, {bad} of at most {most}."
    saved = checkpoints.latest()
    where = "There is no checkpoint yet" if saved is None else f"Step {saved} is saved"
    raise Diverged(
        f"{text}, after {bad - 1} that were skipped. {where}. Use a lower --learning-rate, a "
        "longer --warmup or a smaller --clip, with --resume."
    )
