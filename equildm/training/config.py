"""The options of every training run."""

import dataclasses
import math
from collections.abc import Collection
from pathlib import Path
from typing import ClassVar, get_args, Literal, TYPE_CHECKING

from ..noise import LossConfig
from ..runtime import check_counts, check_seeds, Cluster
from ..runtime.options import Flat
from .monitor_config import MonitorConfig, NO_VALIDATION
from .names import check_name, EMAName, Remat
from .optimizer_config import OptimizerConfig

if TYPE_CHECKING:  # loaded where they are used: options are shown without jax
    from jax.sharding import Mesh

    from .._types import Condition
    from ..noise import AbstractPrediction, AbstractSchedule
    from ..runtime import Policy, Run
    from .objectives.denoising import DenoisingObjective


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How long a model is trained, on which devices, and what its run folder keeps.

    **Raises** `ValueError` for numbers out of range and for options that exclude each other. What
    depends on the devices is checked by `launch`.
    """

    GROUPS: ClassVar = {
        "training": ("steps", "batch_size", "ema", "seed", "bad_steps"),
        "run folder": (
            *("resume", "new", "log_every", "save_every", "preview_every"),
            *("keep", "snapshots"),
        ),
        "devices": ("mesh", "accumulate", "compute", "remat"),
    }
    """The groups of `--help`."""
    MAY_CHANGE: ClassVar[tuple[str, ...]] = tuple(
        f"train.{name}"
        for name in (
            *(
                "resume",
                "new",
                "steps",
                "accumulate",
                "remat",
                "mesh",
                "cluster",
                "keep",
                "snapshots",
            ),
            *("log_every", "save_every", "preview_every", "bad_steps", "monitor"),
            *("optimizer.learning_rate", "optimizer.warmup", "optimizer.clip"),
        )
    )
    """Options that may differ when a run is resumed. With others than the rate, the warm-up and the
    clipping the curve is the same but for rounding. The names are those of a recipe that calls this
    section `train`."""

    resume: bool = False
    """Go on with the run in that folder, by its own options where no others are given."""
    new: bool = False
    """With --resume: begin a run where there is none, so that one command begins and goes on."""
    steps: int = 2000
    """Total training steps."""
    optimizer: Flat[OptimizerConfig] = OptimizerConfig()
    """The optimiser and its learning rate."""
    batch_size: int = 32
    """Examples in each step, over all devices."""
    accumulate: int = 1
    """Slices of the batch that are computed one after the other, to save memory."""
    ema: EMAName | None = None
    """Averages of the weights: two power-function profiles, or one of constant decay. By default
    power, or the method's own."""
    compute: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the network; auto is bfloat16 on accelerators."""
    remat: Remat = "none"
    """Activations to compute again in the backward pass, to save memory."""
    mesh: str = ""
    """Devices by axis, such as data=4,fsdp=2; by default all on data."""
    cluster: Flat[Cluster] = Cluster()
    """How the processes find each other, where there are several."""
    seed: int = 0
    """Seed of weights, noise and the order of the data."""
    log_every: int = 10
    """Steps between two fetches of the metrics; every step has its line."""
    save_every: int = 500
    """Steps between two checkpoints."""
    preview_every: int = 500
    """Steps between two previews."""
    keep: int = 3
    """Checkpoints to keep."""
    monitor: Flat[MonitorConfig] = dataclasses.field(
        default=MonitorConfig(), metadata={"before": NO_VALIDATION}
    )
    """Trackers and the validation loss."""
    bad_steps: int = 10
    """Steps of a launch that may fail, at most: a step whose loss or gradient is not finite changes
    no weight, and is counted. One more ends the training."""
    snapshots: int = 0
    """Interval, in steps, at which the averages are kept for good, so that their length can be
    chosen after training (sample.py --ema 0.07); 0 keeps none."""

    def __post_init__(self) -> None:
        check_counts(
            self,
            *("steps", "batch_size", "accumulate", "keep"),
            *("log_every", "save_every", "preview_every"),
        )
        check_counts(self, "bad_steps", "snapshots", least=0)
        check_seeds(self.seed, "--seed")
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"A batch is cut into equal slices, received {self.batch_size} examples and "
                f"--accumulate {self.accumulate}. Choose a divisor."
            )
        if self.ema is not None:
            check_name("ema", self.ema, get_args(EMAName))
        check_name("compute", self.compute, ("auto", "float32", "bfloat16"))
        check_name("remat", self.remat, get_args(Remat))
        if self.mesh:
            from ..runtime import parse_mesh

            parse_mesh(self.mesh)
        self.optimizer.check(self.steps)

    @property
    def validate_every(self) -> int:
        """Steps between two validations; 0 for none."""
        every = self.monitor.validate_every
        return self.preview_every if every is None else every

    @property
    def policy(self) -> "Policy":
        """The arithmetic of the network."""
        from ..runtime import Policy

        return Policy.default() if self.compute == "auto" else Policy(self.compute)

    def launch(self) -> "Mesh":
        """Joins the other processes, arranges the devices and turns on the compile cache.

        Call it first in a script. On a CPU it also arranges memory, which takes a fifth off a step,
        and can do so only before anything is computed.

        **Raises** `ValueError` for a mesh that does not use every device, for a batch that the
        devices do not divide, and for a tracker that is not installed.
        """
        from ..runtime import check_batch, enable_compile_cache, exit_on_sigterm, make_mesh
        from ..runtime.freed_memory import keep_freed_memory

        self.monitor.check_installed()
        exit_on_sigterm()
        self.cluster.join()
        keep_freed_memory()
        mesh = make_mesh(self.mesh)
        check_batch(self.batch_size // self.accumulate, mesh)
        enable_compile_cache()
        return mesh

    def prepare_run(
        self,
        folder: str | Path,
        config: object,
        recipe: str,
        *,
        may_change: Collection[str] = (),
        fixed: Collection[str] = (),
    ) -> "Run":
        """The run in `folder`, new or resumed; nothing is written: see `Run.prepare`.

        **Arguments:**

        - `folder`: of the run, or its address.
        - `config`: the recipe's whole config, of which this is the section `train`.
        - `recipe`: name of the recipe.
        - `may_change`: options that may differ when the run is resumed, beside `MAY_CHANGE`, the
            folder's own name, how much of the data may be unusable, and which of several captions
            are used (where that makes other data, the checkpoint refuses them).
        - `fixed`: those of `MAY_CHANGE` that must not.
        """
        from ..runtime import Run
        from ..runtime.near import near_runs

        if self.resume and not self.new and not Run.exists(folder):
            raise ValueError(
                f"A run that is resumed exists, received --resume for {folder}, which holds none. "
                f"Check the folder, or add --new to begin one there.{near_runs(folder)}"
            )
        counts = ("sampling_steps", "preview_count", "count")
        check_counts(config, *(name for name in counts if hasattr(config, name)))
        scale = getattr(config, "guidance_scale", 1.0)
        if not math.isfinite(scale):
            raise ValueError(f"--guidance-scale is a finite number, received {scale}. Use 3.")
        dropout = getattr(config, "caption_dropout", 0.0)
        if not 0.0 <= dropout <= 1.0:
            raise ValueError(
                "Caption dropout is a share between 0 and 1, received --caption-dropout "
                f"{dropout}. Use 0.1 to train for classifier-free guidance, 0 for none."
            )
        names = {"run", "data.max_skipped", "data.captions", *may_change, *self.MAY_CHANGE}
        names -= set(fixed)
        run = Run.prepare(folder, config, recipe, resume=self.resume, may_change=names)
        if self.optimizer.decay == "cosine" and "train.steps" in run.changes:
            self._tell_of_longer_cosine(run)
        return run

    def _tell_of_longer_cosine(self, run: "Run") -> None:
        from ..runtime import Checkpoints, log

        done, (before, now) = Checkpoints(run.checkpoints).latest() or 0, run.changes["train.steps"]
        optimizer = dataclasses.replace(self.optimizer, learning_rate=1.0)
        old, new = (float(optimizer.schedule(steps)(done)) for steps in (before, now))
        log(
            f"The cosine ended at step {before} and now ends at {now}: at step {done} the learning "
            f"rate goes from {old:.0%} of its peak to {new:.0%}."
        )

    def denoising(
        self,
        loss: LossConfig,
        schedule: "AbstractSchedule",
        prediction: "AbstractPrediction",
        null_condition: "Condition",
        *,
        dropout: float,
    ) -> "DenoisingObjective":
        """Denoising score matching in this config's arithmetic.

        **Arguments:**

        - `loss`: weight and distribution of the times.
        - `schedule`, `prediction`: of the model.
        - `null_condition`, `dropout`: the condition that replaces a share of the others, see
            `DenoisingObjective`.
        """
        from .objectives.denoising import DenoisingObjective

        weight, times = loss.build()
        return DenoisingObjective(
            schedule=schedule,
            prediction=prediction,
            weight=weight,
            times=times,
            null_text=null_condition,
            dropout=dropout,
            policy=self.policy,
            remat=self.remat,
        )
