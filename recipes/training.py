"""What every recipe that trains has in common: its options, and the way from parts to a state."""

import dataclasses
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import equinox as eqx
import jax
import optax
import tyro
from jax.sharding import Mesh

from equildm.data import AbstractDataset, batches, prefetch
from equildm.runtime import (
    batch_parts,
    batch_sharding,
    check_batch,
    Checkpoints,
    Cluster,
    enable_compile_cache,
    exit_on_sigterm,
    failing_at_once,
    make_mesh,
    put,
    Run,
    shardings,
)
from equildm.train import (
    AbstractEMA,
    adafactor,
    adamw,
    fit,
    Intervals,
    learning_rate,
    make_step,
    Pictures,
    resume,
    TrainState,
)

MAY_CHANGE = (
    *("resume", "run", "steps", "every", "keep", "mesh", "cluster", "snapshots"),
    *("accumulate", "remat"),
)
"""Options that may differ when a run is resumed: the curve is the same but for rounding."""

OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adamw": adamw,
    "adamw-bf16": partial(adamw, momentum="bfloat16"),
    "adafactor": adafactor,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """Options of a run that trains."""

    run: Path
    """Folder for everything that this run leaves."""
    resume: bool = False
    """Go on with the run in that folder, if there is one: the same command begins and goes on."""
    steps: int
    """Updates in all."""
    batch_size: int = 32
    """Examples an update, over all devices."""
    accumulate: int = 1
    """Slices of the batch taken one after the other, to save memory."""
    rate: float | None = None
    """Peak learning rate; by default what suits the model's size."""
    warmup: int = 100
    """Steps until the peak."""
    decay: Literal["constant", "cosine"] = "cosine"
    """What the learning rate does after the peak."""
    optimizer: Literal["adamw", "adamw-bf16", "adafactor"] | None = None
    """AdamW; with its first moment in bfloat16, to save memory; or Adafactor, to save more. By
    default AdamW, or what suits the method."""
    weight_decay: float | None = None
    """The optimiser's, on matrices and kernels; by default 0.01, or what suits the method."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    mesh: str = ""
    """Devices by axis, such as data=4,fsdp=2; by default all on data."""
    cluster: Annotated[Cluster, tyro.conf.arg(name="")] = Cluster()
    """Where there are several processes."""
    seed: int = 0
    """Of weights, noise and the order of the data."""
    every: Intervals = Intervals(log=10, save=500, sample=500)
    """Intervals in steps."""
    keep: int = 3
    """Checkpoints that stay."""
    snapshots: int = 0
    """Interval, in steps, at which the averages are kept for good, so that their length can be
    chosen after training (sample.py --average 0.07); 0 keeps none."""

    def make_optimizer(
        self, default_rate: float, default_weight_decay: float = 0.01
    ) -> optax.GradientTransformation:
        """The optimiser as these options say."""
        weight_decay = default_weight_decay if self.weight_decay is None else self.weight_decay
        make = OPTIMIZERS[self.optimizer or "adamw"]
        return make(self.rates(default_rate), weight_decay=weight_decay, clip=self.clip)

    def rates(self, default_rate: float) -> optax.Schedule:
        """The learning rate as these options say."""
        peak = default_rate if self.rate is None else self.rate
        return learning_rate(peak, warmup=self.warmup, steps=self.steps, decay=self.decay)

    def check(self) -> None:
        """Refuses what cannot work, before anything is loaded."""
        for name in ("steps", "accumulate", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"--{name} is at least 1, received {getattr(self, name)}. Choose 1 or more."
                )
        if self.snapshots < 0:
            raise ValueError(f"Snapshots have an interval, or 0 for none; got {self.snapshots}.")
        self.make_optimizer(1.0)
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"A batch is cut into equal slices, received {self.batch_size} examples and "
                f"--accumulate {self.accumulate}. Choose a divisor."
            )
        check_batch(self.batch_size // self.accumulate, make_mesh(self.mesh))


def launch(config: Training) -> Mesh:
    """Meets the other processes, refuses what cannot work, and arranges the devices."""
    exit_on_sigterm()
    config.cluster.join()
    config.check()
    enable_compile_cache()
    return make_mesh(config.mesh)


def train(
    config: Training,
    run: Run,
    model: Any,
    dataset: AbstractDataset,
    objective: Any,
    optimizer: optax.GradientTransformation,
    ema: AbstractEMA,
    pictures: Pictures | None,
    *,
    start: int = 0,
    label: str = "training",
) -> TrainState:
    """Places model and objective on the mesh, goes on from the newest checkpoint, and trains.

    `start` is the number of steps done by models before this one in the same run.
    """
    mesh = make_mesh(config.mesh)
    state = TrainState.create(model, optimizer, ema, start, mesh)
    places = shardings(state, mesh)
    objective = placed(objective, mesh)
    step = make_step(
        objective,
        optimizer,
        ema,
        key=jax.random.key(config.seed + 1),
        parts=config.accumulate,
        shardings=places,
    )
    with (
        Checkpoints(run.checkpoints, keep=config.keep, every=config.every.save) as checkpoints,
        Checkpoints(run.averages, keep=None, every=config.snapshots)
        if config.snapshots
        else nullcontext() as snapshots,
        failing_at_once(),
    ):
        state, position = resume(state, checkpoints)
        parts, of = batch_parts(mesh)
        source = batches(
            dataset,
            batch_size=config.batch_size,
            seed=config.seed,
            start=position,
            parts=parts,
            of=of,
        )
        with prefetch(source, batch_sharding(mesh)) as data:
            return fit(
                state,
                step,
                data,
                run=run,
                checkpoints=checkpoints,
                steps=config.steps,
                batch_size=config.batch_size,
                every=config.every,
                pictures=pictures,
                snapshots=snapshots,
                label=label,
            )


def placed(tree: Any, mesh: Mesh) -> Any:
    """What an objective holds, such as a teacher, in shards like what is trained.

    An array that it holds twice stays in memory once.
    """
    arrays, static = eqx.partition(tree, eqx.is_array)
    leaves, structure = jax.tree.flatten(arrays)
    once = {id(leaf): leaf for leaf in leaves}
    once = put(once, shardings(once, mesh))
    return eqx.combine(jax.tree.unflatten(structure, [once[id(leaf)] for leaf in leaves]), static)
