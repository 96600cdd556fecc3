"""The methods of distill.py: what each paper trains with, and the objective it makes."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import choices
import jax.numpy as jnp
import optax
import tyro
from training import Training

from equildm.denoise import AbstractDenoiser
from equildm.distill import (
    AbstractDistance,
    AbstractStudent,
    CM,
    CoDi,
    embedded_guidance,
    fixed_guidance,
    Guidance,
    GuidedDistillation,
    iCT,
    inherited_guidance,
    JointPseudoHuber,
    LCM,
    no_guidance,
    PixelDistance,
    ProgressiveDistillation,
    PseudoHuber,
    shared_guidance,
    SquaredL2,
    TeacherStep,
)
from equildm.interop import load_lpips
from equildm.latents import VAE
from equildm.noise import AbstractSchedule, grids
from equildm.train import AbstractMovingObjective, AbstractObjective, Intervals, packed

GuidanceName = Literal["none", "fixed", "embedded", "shared"]
Average = Literal["power", "decay", "decay-0.999", "decay-0.95"]


class Method(NamedTuple):
    """What a method's paper trains with, and how its students are sampled."""

    rate: float
    weight_decay: float
    optimizer: Literal["adamw", "radam"]
    ema: Average
    guidance: GuidanceName
    boundary: Literal["time", "level"] | None
    sampler: str


METHODS = {
    "codi": Method(1e-5, 0.01, "adamw", "decay-0.999", "none", "time", "consistency-deterministic"),
    "lcm": Method(1e-6, 0.0, "adamw", "decay-0.95", "embedded", "time", "consistency"),
    "cm": Method(8e-6, 0.0, "radam", "decay-0.95", "none", "level", "consistency"),
    "ict": Method(1e-4, 0.0, "radam", "decay", "none", "level", "consistency"),
    "guided": Method(1e-4, 0.0, "adamw", "decay-0.999", "embedded", None, "ddim"),
    "progressive": Method(1e-4, 0.0, "adamw", "decay-0.999", "none", None, "ddim"),
}
STAGED = ("guided", "progressive")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Training):
    """Distils a run of pretrain.py into a student that samples in 1 to 8 steps."""

    teacher: Annotated[Path, tyro.conf.Positional]
    """Folder that pretrain.py left."""
    run: Path = Path("runs/distilled")
    """Folder for everything that this run leaves."""
    method: Literal["codi", "lcm", "cm", "ict", "guided", "progressive"] = "codi"
    """Rate, weight decay, optimiser, averages, guidance, distance and sampler are the method's
    own unless given."""
    steps: int = 2000
    """Updates in all."""
    average: str | None = None
    """Which average of the teacher's weights; `none` for the weights as trained."""
    guidance: GuidanceName | None = None
    """none: of conditional models; fixed: one weight that the student learns to be; embedded: a
    range of weights that the student is told; shared: teacher and student are guided alike."""
    weights: tuple[float, float] = (6.0, 16.0)
    """Range of guidance weights, 1 being the conditional model; both alike for fixed. By default
    LCM's."""
    solver: str | None = None
    """Of the teacher's step in codi, lcm and cm, by name; by default the method's."""
    distance: Literal["l2", "huber", "joint-huber", "lpips"] | None = None
    """Of codi, lcm, cm and ict; lpips is that of decoded pictures."""
    data_weight: float | None = None
    """Of the distance to the data in codi, lcm, cm and ict; CoDi's is 1, the others' 0."""
    lora: int | None = None
    """Train adapters of this rank for the attention of the teacher's network, and nothing else."""
    stages: tuple[int, ...] = (16, 8, 4)
    """Sampling steps of the students of guided and progressive, each half of the one before."""
    ema: Average | None = None
    """Averages of the weights. The first is the target of codi, lcm and cm."""
    compute: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the networks; auto is bfloat16 on accelerators."""
    remat: Literal["none", "blocks", "dots"] = "none"
    """Activations to compute again in the backward pass, to save memory."""
    cache: Path | None = None
    """Where latents and text embeddings are kept; by default where the teacher's are."""
    every: Intervals = Intervals(log=10, save=500, sample=500)
    """Intervals in steps."""
    prompts: tuple[str, ...] = ("red heart", "cat face", "woman firefighter medium-dark skin tone")
    """Captions of the pictures made on the way, in 1, 2, 4 and 8 steps; none for no pictures."""
    cfg: float = 3.0
    """Guidance weight for sampling, of these pictures and later ones."""

    @property
    def recipe(self) -> Method:
        """The method's own, with what was given instead."""
        own = METHODS[self.method]
        if self.method == "codi" and self.data_weight == 0:
            own = own._replace(sampler="consistency")  # it jumps
        return own._replace(guidance=self.guidance or own.guidance, ema=self.ema or own.ema)

    @property
    def phases(self) -> tuple[int | None, ...]:
        """Sampling steps of each phase's student; None where the number does not change."""
        if self.method == "guided":
            return None, *self.stages
        return self.stages if self.method == "progressive" else (None,)

    def check(self) -> None:
        """Refuses what cannot work, before anything is loaded."""
        super().check()
        if self.solver is not None:
            choices.solver(self.solver)
        guidance, staged = self.recipe.guidance, self.method in STAGED
        allowed = {"guided": ("embedded", "fixed"), "progressive": ("none", "fixed", "embedded")}
        if guidance not in allowed.get(self.method, (guidance,)):
            raise ValueError(f"{self.method} has no guidance {guidance!r}: {allowed[self.method]}.")
        if guidance == "fixed" and self.weights[0] != self.weights[1]:
            raise ValueError(
                f"Fixed guidance has one weight, received {self.weights}. Pass --weights 3 3."
            )
        if self.lora is not None and (staged or guidance == "embedded"):
            raise ValueError(
                "Adapters are for codi, lcm, cm and ict, and cannot be told a weight: leave lora "
                "out, or pass --guidance fixed --weights 3 3."
            )
        halves = zip(self.stages[:-1], self.stages[1:], strict=True)
        if staged and (not self.stages or any(a != 2 * b for a, b in halves)):
            raise ValueError(
                f"Each stage has half the steps of the one before, received {self.stages}."
            )
        if staged and self.snapshots:
            raise ValueError(f"{self.method} keeps a snapshot of each stage: leave snapshots out.")
        if self.steps % len(self.phases):
            raise ValueError(
                f"The {len(self.phases)} phases of {self.method} are equally long, received "
                f"{self.steps} steps. Use a multiple of {len(self.phases)}."
            )
        dataclasses.replace(self, steps=self.steps // len(self.phases)).rates(1.0)


def guidance_of(config: Config, number: int) -> Guidance:
    """Of the phase of that number: from the second on, the teacher has learned what the first
    phase's student did."""
    low, high = config.weights
    name = config.recipe.guidance
    if name == "none" or (name == "fixed" and number > 0):
        return no_guidance()
    if name == "fixed":
        return fixed_guidance(low)
    if name == "shared":
        return shared_guidance(low, high)
    return embedded_guidance(low, high) if number == 0 else inherited_guidance(low, high)


def objective_of(
    config: Config,
    number: int,
    *,
    student: AbstractStudent,
    schedule: AbstractSchedule,
    null_text: Any,
    teacher: AbstractDenoiser,
    vae: VAE,
) -> AbstractObjective | AbstractMovingObjective:
    """What the phase of that number minimises."""
    guidance = guidance_of(config, number)
    # What is guided by itself when it samples needs its unconditional branch.
    dropout = 0.1 if config.recipe.guidance == "none" else 0.0
    steps = config.phases[number]
    if steps is not None:
        # Of one shape for all phases, so that they share what is compiled.
        levels = grids.pad(grids.trailing(schedule, 2 * steps), 2 * config.stages[0] + 1)
        return ProgressiveDistillation(
            student, null_text, teacher, jnp.asarray(levels, jnp.float32), guidance, dropout
        )
    if config.method == "guided":
        return GuidedDistillation(student, null_text, schedule, teacher, guidance)

    options: dict[str, Any] = {"guidance": guidance, "dropout": dropout}
    if config.distance is not None:
        options["distance"] = distance_of(config.distance, vae)
    if config.data_weight is not None:
        options["data_weight"] = config.data_weight
    if config.method == "ict":
        return iCT(student, null_text, schedule, config.steps, **options)
    if config.solver is not None:
        options["trajectory"] = TeacherStep(teacher, choices.solver(config.solver))
    preset = {"codi": CoDi, "lcm": LCM, "cm": CM}[config.method]
    return preset(student, null_text, schedule, teacher, **options)


def distance_of(name: str, vae: VAE) -> AbstractDistance:
    """The distance of that name."""
    if name == "lpips":
        return PixelDistance(load_lpips("vgg"), vae)
    return {"l2": SquaredL2(), "huber": PseudoHuber(), "joint-huber": JointPseudoHuber()}[name]


def optimizer_of(config: Config, steps: int) -> optax.GradientTransformation:
    """The method's, for a phase of so many steps."""
    recipe, config = config.recipe, dataclasses.replace(config, steps=steps)
    if (config.optimizer or recipe.optimizer) != "radam":
        return config.make_optimizer(recipe.rate, recipe.weight_decay)
    radam = optax.radam(config.rates(recipe.rate))
    return packed(optax.chain(optax.clip_by_global_norm(config.clip), radam))
