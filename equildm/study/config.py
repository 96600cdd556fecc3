"""The options of a scaling study: which models, sampled how, scored and reported how."""

import dataclasses
import math
from pathlib import Path
from typing import Any, cast, get_args, Literal

from ..data import SplitName
from ..denoise import BackboneName
from ..distill import DistillConfig, MethodName
from ..metrics import ExtractorConfig
from ..runtime.options import Flat, is_default
from ..sampling import SolverName
from ..training import OptimizerConfig, TrainConfig
from .names import Counting
from .price import Price

TRANSFORMERS = [name for name in get_args(BackboneName) if name != "unet"]


def _require(holds: bool, rule: str, flag: str, value: Any, fix: str) -> None:
    if not holds:
        raise ValueError(f"{rule}, received --{flag} {value}. {fix}.")


def _at_least(what: str, least: int, flag: str, value: Any, *counts: int) -> None:
    fits = all(count >= least for count in counts)
    _require(fits, f"{what} are at least {least}", flag, value, f"Use {least} or more")


def _are_scales(flag: str, value: Any, *scales: float) -> None:
    fits = all(math.isfinite(scale) and scale >= 0 for scale in scales)
    _require(fits, "Guidance scales are numbers from 0 on", flag, value, "Use 1 for no guidance")


@dataclasses.dataclass(frozen=True)
class LadderConfig:
    """The models that a study trains: UNets and transformers of several sizes, and students of
    each."""

    widths: tuple[int, ...] = (16, 32)
    """Base channels of each UNet."""
    transformers: tuple[str, ...] = ()
    """Transformers beside the UNets, by kind and preset: dit:tiny, mmdit:39M."""
    checkpoints: int = 4
    """Checkpoints of each model that are sampled, at equal intervals."""
    distill: tuple[MethodName, ...] = ("lcm",)
    """Methods by which each model is distilled; none for no students. The paper's is codi."""
    distill_steps: int = 300
    """Training steps of each student; a multiple of 12 suits every method."""
    distill_learning_rate: float = 1e-4
    """Learning rate of the students."""
    distill_guidance_range: tuple[float, float] = (1.0, 6.0)
    """Range of guidance scales that students are conditioned on."""

    def __post_init__(self) -> None:
        models = len(self.widths) + len(self.transformers)
        _at_least("Models", 1, "widths", self.widths, models)
        _require(
            len(set(self.widths)) == len(self.widths),
            "Each width is trained once",
            "widths",
            self.widths,
            "Leave out repeated ones",
        )
        for name in self.transformers:
            _require(
                name.partition(":")[0] in TRANSFORMERS,
                "A transformer has a kind and a preset, such as dit:tiny or mmdit:39M",
                "transformers",
                name,
                f"Kinds are {', '.join(TRANSFORMERS)}; UNets are given by --widths",
            )
        if not is_default(self):
            self._check_sizes()
        _at_least("Checkpoints", 1, "checkpoints", self.checkpoints, self.checkpoints)
        _at_least("Steps", 1, "distill-steps", self.distill_steps, self.distill_steps)
        low, high = scales = self.distill_guidance_range
        _are_scales("distill-guidance-range", scales, low, high)
        _require(
            low <= high,
            "A range goes from low to high",
            "distill-guidance-range",
            scales,
            "Swap the two",
        )
        for method in self.distill:
            phases = len(self.distillation(method).phases)
            _require(
                self.distill_steps % phases == 0,
                f"The {phases} phases of {method} are equally long",
                "distill-steps",
                self.distill_steps,
                "Use a multiple of 12",
            )

    @property
    def members(self) -> dict[str, tuple[BackboneName, str]]:
        """Kind and preset of each model, by the name of its run."""
        unets = {f"c{width:03d}": ("unet", str(width)) for width in sorted(self.widths)}
        split = [name.partition(":")[::2] for name in self.transformers]
        others = {f"{kind}-{size}".replace("/", "-"): (kind, size) for kind, size in split}
        return cast(dict[str, tuple[BackboneName, str]], unets | others)

    def _check_sizes(self) -> None:
        """Refuses a preset that is none, and two of one kind, width and depth."""
        from ..denoise import BACKBONES

        configs = [BACKBONES[kind](size) for kind, size in self.members.values()]
        sizes = {(type(c), c.width, getattr(c, "depth", 0)) for c in configs}
        _require(
            len(sizes) == len(self.widths) + len(self.transformers),
            "Transformers of a kind differ in width or depth",
            "transformers",
            self.transformers,
            "Leave out repeated ones",
        )

    def training(self, train: TrainConfig) -> TrainConfig:
        """The options of a model's training, with the study's checkpoints.

        **Raises** `ValueError` if `checkpoints` does not divide the steps.
        """
        _require(
            train.steps % self.checkpoints == 0,
            f"Checkpoints lie at equal intervals of {train.steps} steps",
            "checkpoints",
            self.checkpoints,
            "Make --train.steps a multiple of it",
        )
        interval = train.steps // self.checkpoints
        return dataclasses.replace(train, snapshots=interval, resume=True, new=True)

    def distillation(self, method: MethodName) -> DistillConfig:
        """The options of a student's method."""
        return DistillConfig(method=method, guidance_range=self.distill_guidance_range)

    def student_training(self, batch_size: int) -> TrainConfig:
        """The options of a student's training, in batches of so many examples."""
        optimizer = OptimizerConfig(
            learning_rate=self.distill_learning_rate,
            warmup=min(50, self.distill_steps // 6),
            decay="cosine",
        )
        return TrainConfig(
            steps=self.distill_steps,
            batch_size=batch_size,
            optimizer=optimizer,
            resume=True,
            new=True,
        )


@dataclasses.dataclass(frozen=True)
class GridConfig:
    """The ways in which each model is sampled: all combinations."""

    samplers: tuple[str, ...] = ("ddim", "ddpm", "dpm++2m")
    """Samplers of models that are not distilled, by name; students have their own."""
    sampling_steps: tuple[int, ...] = (2, 4, 8, 16, 32)
    """Numbers of sampling steps."""
    guidance_scale: tuple[float, ...] = (1.0, 2.0, 3.0, 5.0)
    """Guidance scales; 1 is the conditional model."""
    student_steps: tuple[int, ...] = (1, 2, 4, 8)
    """Numbers of sampling steps of students."""
    reference: tuple[str, int, float] = ("ddim", 16, 3.0)
    """Sampler, steps and guidance scale of earlier checkpoints; the last get the whole grid."""
    earlier_steps: tuple[int, ...] = ()
    """Further numbers of steps of earlier checkpoints, to see when an answer changes."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of the noise; everything is sampled once for each."""

    def __post_init__(self) -> None:
        sampler, steps, scale = self.reference
        for name in (*self.samplers, sampler):
            _require(
                name in get_args(SolverName),
                f"A solver is one of {', '.join(get_args(SolverName))}",
                "samplers" if name in self.samplers else "reference",
                name,
                "Choose one of these",
            )
        _at_least("Steps", 1, "sampling-steps", self.sampling_steps, *self.sampling_steps)
        _at_least("Steps", 1, "student-steps", self.student_steps, *self.student_steps)
        _at_least("Steps", 1, "reference", self.reference, steps)
        _at_least("Steps", 1, "earlier-steps", self.earlier_steps, *self.earlier_steps)
        _are_scales("guidance-scale", self.guidance_scale, *self.guidance_scale)
        _are_scales("reference", self.reference, scale)
        _at_least("Seeds", 1, "seeds", self.seeds, len(self.seeds))

    @property
    def most_steps(self) -> int:
        """The most sampling steps of any point."""
        return max(
            *self.sampling_steps, *self.student_steps, self.reference[1], *self.earlier_steps
        )


@dataclasses.dataclass(frozen=True)
class SampleSetConfig:
    """The set of images that is sampled for each point of the grid, and how it is scored."""

    split: SplitName = "held-out"
    """Which captions are sampled."""
    count: int = 192
    """Images of each point: one of each caption, more of each where there are fewer captions."""
    batch_size: int = 64
    """Images sampled at a time, at most."""
    real: int = 20_000
    """Real images, at most, of both splits, that FID is a distance to."""
    groups: int = 40
    """Groups of captions, or of images where there are fewer captions, for the intervals."""
    extractor: Flat[ExtractorConfig] = ExtractorConfig()
    """The feature network of FID, and of the caption match unless it is Inception-v3."""
    images: int = 8
    """Images of each point that are saved."""

    def __post_init__(self) -> None:
        _at_least("Images of a point", 2, "count", self.count, self.count)
        _at_least("Images at a time", 1, "batch-size", self.batch_size, self.batch_size)
        _at_least("Real images", 2, "real", self.real, self.real)
        _at_least("Saved images", 0, "images", self.images, self.images)
        _at_least("Groups", 2, "groups", self.groups, self.groups)
        largest = -(-self.count // min(self.groups, self.count))
        _require(
            self.count - largest >= 2,
            f"Without one of the groups, 2 of --count {self.count} images are left",
            "groups",
            self.groups,
            "Raise --count or --groups",
        )

    def check_files(self) -> None:
        """`ValueError` if a file that is named does not exist."""
        for flag, path in self.extractor.files.items():
            _require(path is None or path.exists(), "The file exists", flag, path, "Check the path")

    @property
    def meaning(self) -> dict[str, object]:
        """The options that decide what scores mean, by name."""
        names = ("split", "count", "real", "groups")
        own = self.extractor
        extractor = {**own.files, "resize": own.resize, "features": own.features}
        return {name: getattr(self, name) for name in names} | extractor


@dataclasses.dataclass(frozen=True)
class ReportConfig:
    """Options of a study's report."""

    unit: Literal["gflops", "paper"] = "gflops"
    """Unit of costs: operations at the run's own latent size, or the paper's evaluations of its
    866M model at 64x64."""
    counting: Counting = "once"
    """Whether guidance counts in the report's sampling cost, see equildm.study.cost."""
    budgets: tuple[float, ...] = ()
    """Budgets to recommend a model for; by default five over the table's range."""

    def __post_init__(self) -> None:
        _require(
            all(math.isfinite(budget) and budget > 0 for budget in self.budgets),
            "Budgets are numbers above 0",
            "budgets",
            self.budgets,
            "They are in --unit",
        )

    @property
    def price(self) -> Price:
        """What an image costs."""
        return Price(self.unit, self.counting)


@dataclasses.dataclass(frozen=True)
class StudyConfig:
    """A study: its models, how they are sampled, how that is scored, and the report."""

    runs: tuple[Path, ...] = ()
    """Existing runs of pretrain.py and distill.py to sample; the study then trains none."""
    ladder: Flat[LadderConfig] = LadderConfig()
    """The models that are trained."""
    grid: Flat[GridConfig] = GridConfig()
    """The ways in which they are sampled."""
    samples: Flat[SampleSetConfig] = SampleSetConfig()
    """The images of each point, and their scores."""
    report: Flat[ReportConfig] = ReportConfig()
    """What the report answers."""
    stale: float = 120.0
    """Seconds after which a process on another machine that gives no sign counts as dead."""

    def __post_init__(self) -> None:
        _require(self.stale > 0, "A time is above 0", "stale", self.stale, "Use for instance 120")
