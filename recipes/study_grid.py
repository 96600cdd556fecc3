"""The scaling study's options, the runs it trains, and the grid of what it samples."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import methods
import models
import study_rules
import tyro
from pretrain import Config as Pretrain

from equildm.runtime import Checkpoints, Run
from equildm.study import Point

Method = Literal["codi", "lcm", "cm", "ict", "guided", "progressive"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Trains a ladder of widths, samples it in every way, and reports what is best for a budget."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder of the study. Later calls need no more than it: options are kept there."""
    phase: Annotated[
        Literal["all", "train", "distill", "sweep", "report"], tyro.conf.Positional
    ] = "all"
    """What to do: all, or one after the other."""

    widths: tuple[int, ...] = (16, 32)
    """Base channels of each model of the ladder."""
    train: Pretrain = Pretrain(steps=1000, prompts=())
    """Options of pretrain.py, the same for every width. Run, preset and snapshots are the
    study's."""
    checkpoints: int = 4
    """Checkpoints of each model that are sampled, at equal intervals."""
    distill: tuple[Method, ...] = ("lcm",)
    """Methods by which each model is distilled; none for none. The paper's is codi."""
    distill_steps: int = 300
    """Updates of each student; a multiple of 12 suits every method."""
    distill_rate: float = 1e-4
    """Their learning rate."""
    distill_weights: tuple[float, float] = (1.0, 6.0)
    """Range of guidance weights that students are told."""
    runs: tuple[Path, ...] = ()
    """Runs of pretrain.py and distill.py that are there already, instead of a ladder."""

    samplers: tuple[str, ...] = ("ddim", "ddpm", "dpm++2m")
    """Of the models that are not distilled; students have their own."""
    steps: tuple[int, ...] = (2, 4, 8, 16, 32)
    """Numbers of sampling steps."""
    cfg: tuple[float, ...] = (1.0, 2.0, 3.0, 5.0)
    """Guidance weights; 1 is the plain conditional model."""
    student_steps: tuple[int, ...] = (1, 2, 4, 8)
    """Numbers of steps of students."""
    reference: tuple[str, int, float] = ("ddim", 16, 3.0)
    """Sampler, steps and guidance weight of all checkpoints; the last ones get the whole grid."""
    seeds: tuple[int, ...] = (0,)
    """Of the pictures' noise; all is sampled once for each."""

    split: Literal["held-out", "training"] = "held-out"
    """Which captions are sampled."""
    count: int = 192
    """Pictures of each point: a caption each, more than one where these are fewer."""
    batch: int = 64
    """Pictures made at a time, at most."""
    real: int = 20_000
    """Real pictures at most, of both splits, that FID is a distance to."""
    groups: int = 40
    """Of captions, for the intervals."""
    inception: Path | None = None
    """Safetensors of Inception-v3, in place of VGG16."""
    resize: Literal["tf1", "antialiased"] = "tf1"
    """How its pictures are brought to 299 pixels: as for FID or for clean-FID."""
    pictures: int = 8
    """Pictures of each point that are kept."""

    counting: Literal["once", "twice"] = "once"
    """Whether guidance counts in the report's sampling cost, see equildm.study.cost."""
    budgets: tuple[float, ...] = ()
    """To answer the question for; by default five over the table's range."""
    stale: float = 120.0
    """Seconds after which a process on another machine that gives no sign counts as dead."""

    def check(self) -> None:
        """Refuses what cannot work, before anything is done."""
        study_rules.check(self)

    def pretraining(self) -> list[Pretrain]:
        """What pretrain.py is called with, for each width: identical but for that."""
        return [
            dataclasses.replace(
                self.train,
                preset=str(width),
                run=self.folder / "runs" / f"c{width:03d}",
                snapshots=self.train.steps // self.checkpoints,
                resume=True,
            )
            for width in sorted(self.widths)
        ]

    def distillation(self) -> list[methods.Config]:
        """What distill.py is called with, for each width and method."""
        return [
            methods.Config(
                teacher=trained.run,
                run=trained.run.with_name(f"{trained.run.name}-{method}"),
                method=method,
                steps=self.distill_steps,
                rate=self.distill_rate,
                weights=self.distill_weights,
                warmup=min(50, self.distill_steps // 6),
                batch_size=self.train.batch_size,
                prompts=(),
                resume=True,
            )
            for trained in self.pretraining()
            for method in self.distill
        ]

    def folders(self) -> list[Path]:
        """The runs to sample."""
        if self.runs:
            return list(self.runs)
        return [c.run for c in self.pretraining()] + [c.run for c in self.distillation()]


def is_complete(run: Path, steps: int) -> bool:
    """Whether a run has been trained to its end."""
    return (Checkpoints(run / "checkpoints").latest() or 0) >= steps


def points(config: Config) -> list[tuple[Point, Path]]:
    """All that is sampled, with its run, grouped by what is compiled and loaded once."""
    found: dict[Point, Path] = {}
    names = [path.name for path in config.folders()]
    if len(set(names)) < len(names):
        raise ValueError(f"Runs are told apart by their folder's name, received {names}.")
    for path in config.folders():
        run = Run.open(path)
        ways = _student_ways if models.load_model(run).distilled else _ladder_ways
        for step, sampler, steps, guidance in ways(config, run):
            for seed in config.seeds:
                found[Point(path.name, step, sampler, steps, guidance, seed)] = path
    order = {name: i for i, name in enumerate(names)}
    ordered = sorted(found, key=lambda p: (order[p.run], -p.train_step, p.sampler, p))
    return [(point, found[point]) for point in ordered]


Way = tuple[int, str, int, float]


def _ladder_ways(config: Config, run: Run) -> list[Way]:
    newest = Checkpoints(run.checkpoints).latest()
    if newest is None:
        raise ValueError(f"{run.path} has no checkpoint yet: train it first.")
    kept = [step for step in Checkpoints(run.averages).steps() if step < newest]
    whole = [
        (newest, sampler, steps, weight)
        for sampler in config.samplers
        for steps in config.steps
        for weight in config.cfg
    ]
    return whole + [(step, *config.reference) for step in (*kept, newest)]


def _student_ways(config: Config, run: Run) -> list[Way]:
    distilled = models.load_model(run).distilled
    assert distilled is not None
    newest = Checkpoints(run.checkpoints).latest()
    if newest is None:
        raise ValueError(f"{run.path} has no checkpoint yet: distil it first.")
    trained = run.load_config(methods.Config)
    weights: tuple[float, ...] = config.cfg
    if trained.recipe.guidance == "fixed":
        weights = (1.0,)
    elif trained.recipe.guidance == "embedded":
        low, high = trained.weights
        weights = tuple(w for w in config.cfg if low <= w <= high) or (distilled.weight,)
    return [
        (distilled.stage(steps) or newest, distilled.sampler, steps, weight)
        for steps in config.student_steps
        for weight in weights
    ]
