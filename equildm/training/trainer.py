"""From a model, an objective and data to a trained state in a run folder."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, TypeVar

import equinox as eqx
import jax
import optax
from jax.sharding import Mesh
from jaxtyping import PyTree

from .._types import Batch
from ..data import AbstractDataset, batches, prefetch
from ..runtime import (
    abort_together,
    AbstractTracker,
    batch_parts,
    batch_sharding,
    Checkpoints,
    first_process,
    FunctionTracker,
    log,
    peak_flops,
    put,
    Run,
    shardings,
    UserError,
)
from ..runtime.locks import exclusive
from ..runtime.tracker import Scalars
from .config import TrainConfig
from .ema import AbstractEMA, EMAS
from .loop import fit, Intervals, PeakShare, Preview, Stopped
from .objectives.base import AbstractMovingObjective, AbstractObjective
from .resume import resume
from .state import TrainState
from .step import make_step
from .step_flops import step_flops
from .validation import Validation

T = TypeVar("T")


def train(
    model: PyTree,
    objective: AbstractObjective | AbstractMovingObjective,
    dataset: AbstractDataset,
    optimizer: optax.GradientTransformation,
    config: TrainConfig,
    *,
    run: Run,
    mesh: Mesh,
    ema: AbstractEMA | None = None,
    preview: Preview | None = None,
    held_out: Batch | None = None,
    trackers: Sequence[AbstractTracker | Callable[[int, Scalars], object]] = (),
    start: int = 0,
    label: str = "training",
) -> TrainState:
    """Trains a model from the newest checkpoint of its run, or else from its first step.

        config = TrainConfig(steps=1000)
        mesh = config.launch()
        run = Run.create("runs/mine", config, "mine")
        optimizer = config.optimizer.build(config.steps)
        state = train(model, objective, dataset, optimizer, config, run=run, mesh=mesh)

    **Arguments:**

    - `model`: what is trained; its buffers are donated to the first step.
    - `objective`: the loss.
    - `dataset`: the examples.
    - `optimizer`: see `OptimizerConfig.build`.
    - `config`: length, batch size, seed, intervals. Its optimiser is not used here.
    - `run`: the run folder, which exists.
    - `mesh`: the devices, see `TrainConfig.launch`.
    - `ema`: moving averages of the model; by default those that `config.ema` names.
    - `preview`: makes an image of the state every `config.preview_every` steps and at the end.
    - `held_out`: examples for the validation loss, as one batch on the host: see `Validation`.
    - `trackers`: show the curves, beside those of `config`: a tracker, or a function of a step and
        its numbers. Only the first process calls them; they are closed at the end.
    - `start`: how many steps earlier models of the same run have taken.
    - `label`: name of the training in the progress line.

    **Returns:** the state after step `config.steps`.

    **Raises** `Stopped` after ctrl-C or SIGTERM, once everything is saved; `Diverged` at a loss
    that is not finite, after `config.bad_steps` such steps that were skipped; `ValueError` where
    another launch is training the run, and for `held_out` with a loss that moves.
    """
    if held_out is not None and isinstance(objective, AbstractMovingObjective):
        raise ValueError(
            "A validation loss is that of one objective at all steps, received `held_out` for a "
            f"{type(objective).__name__}, which moves. Leave `held_out` out."
        )
    ema = EMAS[config.ema or "power"] if ema is None else ema
    state = TrainState.create(model, optimizer, ema, start, mesh)
    objective = put_frozen(objective, mesh)
    validation = None
    if held_out is not None and config.validate_every and isinstance(objective, AbstractObjective):
        batch_size = config.batch_size // config.accumulate
        validation = Validation(objective, held_out, mesh=mesh, batch_size=batch_size)
    facts: dict[str, Any] = {"averages": list(ema.names())}
    if dataset.fingerprint:
        facts["data"] = dataset.fingerprint
    if dataset.split:
        facts["split"] = dataset.split
    step = make_step(
        objective,
        optimizer,
        ema,
        key=jax.random.key(config.seed + 1),
        parts=config.accumulate,
        shardings=shardings(state, mesh),
    )
    refusal = (
        f"One launch at a time trains a run, received {run.location} which another one is "
        "training. Stop that one first, or choose another folder."
    )
    run.push()
    keep = partial(Checkpoints, before_complete=run.push)
    with (
        exclusive(run.path / "locks", label, refusal),
        _pushing(run),
        keep(run.checkpoints, keep=config.keep, every=config.save_every) as checkpoints,
        keep(run.averages, keep=None, every=config.snapshots)
        if config.snapshots
        else nullcontext() as snapshots,
        abort_together(),
    ):
        state, position = resume(state, checkpoints, facts)
        if position:
            log(f"Resumed at step {int(state.step)}.")
        parts, of = batch_parts(mesh)
        source = batches(
            dataset,
            batch_size=config.batch_size,
            seed=config.seed,
            start=position,
            parts=parts,
            of=of,
        )
        with prefetch(source, batch_sharding(mesh), stored=True) as data:
            return fit(
                state,
                step,
                data,
                run=run,
                checkpoints=checkpoints,
                steps=config.steps,
                batch_size=config.batch_size,
                every=Intervals(
                    config.log_every, config.preview_every, config.validate_every or config.steps
                ),
                preview=preview,
                validate=validation,
                trackers=_opened(trackers, config, run, int(state.step)),
                peak_share=_peak_share(objective, mesh) if first_process() else None,
                snapshots=snapshots,
                label=label,
                bad_steps=config.bad_steps,
                facts=facts,
            )


@contextmanager
def _pushing(run: Run) -> Iterator[None]:
    """Copies a run at an address to there at the end, also where training stopped or diverged."""
    try:
        yield
    except (Stopped, UserError):
        run.push()
        raise
    run.push()


def _opened(
    trackers: Sequence[AbstractTracker | Callable[[int, Scalars], object]],
    config: TrainConfig,
    run: Run,
    start: int,
) -> list[AbstractTracker]:
    """The trackers of the config and the others, on the first process."""
    if not first_process():
        return []
    own = [t if isinstance(t, AbstractTracker) else FunctionTracker(t) for t in trackers]
    return [*config.monitor.open_trackers(run, start), *own]


def _peak_share(
    objective: AbstractObjective | AbstractMovingObjective, mesh: Mesh
) -> PeakShare | None:
    """How much of the devices' peak a step takes; `None` where their peak is not known."""
    peak = peak_flops(mesh.devices.flat[0].device_kind)
    if peak is None:
        return None

    def share(state: TrainState, batch: Batch) -> float | None:
        try:
            return step_flops(objective, state, batch) / (peak * mesh.size)
        except ValueError as error:  # a loss that cannot be counted is trained all the same
            log(f"No utilisation is shown: {error}")
            return None

    return share


def put_frozen(objective: T, mesh: Mesh) -> T:
    """The objective with its arrays, such as a teacher's, in shards on the mesh.

    They are frozen, and follow the same sharding rule as the arrays that are trained. An array that
    occurs twice stays in memory once.
    """
    arrays, static = eqx.partition(objective, eqx.is_array)
    leaves, structure = jax.tree.flatten(arrays)
    unique = {id(leaf): leaf for leaf in leaves}
    unique = put(unique, shardings(unique, mesh))
    return eqx.combine(jax.tree.unflatten(structure, [unique[id(x)] for x in leaves]), static)
