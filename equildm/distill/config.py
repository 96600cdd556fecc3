"""Which distillation a run does, as options."""

import dataclasses
import math
from typing import TYPE_CHECKING

from ..training import TrainConfig
from .methods import (
    check_guidance,
    check_solver,
    check_stages,
    DISTILL_METHODS,
    DistillMethod,
    methods_with,
)
from .names import DistanceName, GuidanceName, MethodName

if TYPE_CHECKING:  # loaded where they are used: options are shown without jax
    import optax
    from jaxtyping import PyTree

    from .._types import Condition, Key, Network
    from ..denoise import AbstractNetworkConfig
    from ..latents import VAE
    from ..noise import AbstractPrediction, AbstractSchedule
    from ..runtime import Run
    from ..training import AbstractMovingObjective, AbstractObjective, AbstractTrainedPart


@dataclasses.dataclass(frozen=True)
class DistillConfig:
    """A distillation: its method, and the options that replace the method's own.

    Staged methods train in phases: the student of each is the teacher of the next.
    """

    method: MethodName = "lcm"
    """The method. Learning rate, weight decay, optimiser, averages, guidance, distance and sampler
    are its own unless an option replaces them."""
    guidance: GuidanceName | None = None
    """Guidance in training, by default the method's own. none: teacher and student are conditional
    models; fixed: the student learns one guidance scale; embedded: the student is conditioned on
    the guidance scale; shared: teacher and student are guided alike."""
    guidance_range: tuple[float, float] = (6.0, 16.0)
    """Lowest and highest guidance scale, 1 being the conditional model; for fixed guidance the same
    scale twice. The default is LCM's."""
    solver: str | None = None
    """Solver of the teacher's step in codi, lcm and cm, by name; by default the method's own."""
    distance: DistanceName | None = None
    """Distance of codi, lcm, cm and ict; lpips compares decoded images."""
    data_weight: float | None = None
    """Weight of the distance to the data in codi, lcm, cm and ict; 1 in CoDi, 0 in the others."""
    lora: int | None = None
    """Train adapters of this rank for the attention of the teacher's network, and nothing else."""
    stages: tuple[int, ...] = (16, 8, 4)
    """Sampling steps of the students of guided and progressive, each half of the one before."""

    def __post_init__(self) -> None:
        if self.method not in DISTILL_METHODS:
            raise ValueError(
                f"A method is one of {', '.join(DISTILL_METHODS)}; received {self.method!r}."
            )
        own = self.settings
        check_guidance(self.method, own.guidance, *self.guidance_range)
        if self.solver is not None:
            check_solver(self.method, self.solver)
        for name in ("distance", "data_weight"):
            if getattr(self, name) is not None and not own.is_consistency:
                flag = name.replace("_", "-")
                raise ValueError(
                    f"{self.method} compares clean estimates by its own weighted square, received "
                    f"--{flag} {getattr(self, name)}. Leave it out, or use one of "
                    f"{methods_with('is_consistency')}."
                )
        if self.data_weight is not None and not 0 <= self.data_weight < math.inf:
            raise ValueError(
                f"The distance to the data has a weight of at least 0, received --data-weight "
                f"{self.data_weight}. CoDi's is 1."
            )
        if self.lora is not None and (own.staged or own.guidance == "embedded"):
            raise ValueError(
                f"Adapters are trained by {methods_with('is_consistency')}, and cannot embed the "
                f"guidance scale; received --lora {self.lora} for {self.method} with "
                f"{own.guidance} guidance. Leave it out, or pass --guidance fixed "
                "--guidance-range 3 3."
            )
        if self.lora is not None:
            _ = self.part  # checks the rank
        if own.staged:
            check_stages(self.stages)

    @classmethod
    def of_run(cls, run: "Run") -> "DistillConfig | None":
        """The `distill` section of a run's config.json; None for a run that has none."""
        return run.section("distill", cls)

    @property
    def settings(self) -> DistillMethod:
        """The method's own settings, with the options that replace them."""
        own = DISTILL_METHODS[self.method]
        if self.method == "codi" and self.data_weight == 0:
            own = own._replace(sampler="consistency")  # it jumps
        return own._replace(guidance=self.guidance or own.guidance)

    @property
    def phases(self) -> tuple[int | None, ...]:
        """The sampling steps of each phase's student; None where their number does not change."""
        if not self.settings.staged:
            return (None,)
        return (None, *self.stages) if self.method == "guided" else self.stages

    @property
    def depends_on_steps(self) -> bool:
        """Whether the number of training steps shapes the method, by phases or by a curriculum."""
        return self.settings.staged or self.method == "ict"

    @property
    def part(self) -> "AbstractTrainedPart":
        """Which part of the network is trained."""
        from ..training import AllWeights, LoRAConfig

        return AllWeights() if self.lora is None else LoRAConfig(self.lora)

    @property
    def sampling_steps(self) -> int:
        """The sampling steps that suit the (last) student."""
        return self.stages[-1] if self.settings.staged else 4

    def sampling_scale(self, guidance_scale: float) -> float:
        """The student's own guidance scale: 1 after fixed guidance, in its range after embedded."""
        guidance, (low, high) = self.settings.guidance, self.guidance_range
        if guidance == "fixed":
            return 1.0
        return min(max(guidance_scale, low), high) if guidance == "embedded" else guidance_scale

    def students(self, train_steps: int) -> tuple[tuple[int, int], ...]:
        """`(sampling steps, training step)` of each student that a staged method leaves."""
        length = train_steps // len(self.phases)
        ends = [(steps, (i + 1) * length) for i, steps in enumerate(self.phases)]
        return tuple((steps, end) for steps, end in ends if steps is not None)

    def check(self, train: TrainConfig) -> None:
        """Refuses a training that does not suit the method.

        **Raises** `ValueError`.
        """
        phases = len(self.phases)
        if train.steps % phases:
            raise ValueError(
                f"The {phases} phases of {self.method} are equally long, received {train.steps} "
                f"steps. Use a multiple of {phases}."
            )
        if self.settings.staged and train.snapshots:
            raise ValueError(
                f"{self.method} keeps a snapshot of each stage, received --snapshots "
                f"{train.snapshots}. Leave it out."
            )
        self.optimizer(train)

    def optimizer(self, train: TrainConfig) -> "optax.GradientTransformation":
        """The optimiser of one phase: the method's own where `train` names none."""
        import optax

        from ..training import packed, ScheduledOptimizer

        own, options, steps = self.settings, train.optimizer, train.steps // len(self.phases)
        if own.optimizer == "adamw" or options.optimizer is not None:
            return options.build(steps, own.learning_rate, own.weight_decay)
        if options.weight_decay:
            raise ValueError(
                f"RAdam, the optimiser of {self.method}, has no weight decay, received "
                f"--weight-decay {options.weight_decay}. Add --optimizer adamw, or leave it out."
            )
        rate = options.schedule(steps, own.learning_rate)
        chain = optax.chain(optax.clip_by_global_norm(options.clip), optax.radam(rate))
        return ScheduledOptimizer(packed(chain), rate)

    def network(self, teacher: "AbstractNetworkConfig") -> "AbstractNetworkConfig":
        """The student's network config, of the teacher's.

        **Raises** `ValueError` for a teacher that is no denoiser conditioned on captions alone.
        """
        from .._types import TextEmbedding
        from ..denoise import GuidanceEmbeddingConfig
        from .boundary import ConsistencyConfig

        if teacher.condition_type is not TextEmbedding or isinstance(
            teacher, ConsistencyConfig | GuidanceEmbeddingConfig
        ):
            raise ValueError(
                "A teacher is a denoiser that is conditioned on captions alone, received a "
                f"{type(teacher).__name__}. Distil a run of pretrain.py."
            )
        student, own = teacher, self.settings
        if own.guidance == "embedded":
            student = GuidanceEmbeddingConfig(student)
        return student if own.boundary is None else ConsistencyConfig(student, own.boundary)

    def trainable(self, teacher: "Network", *, key: "Key") -> "PyTree":
        """What a phase trains, before its first step: a copy of its teacher, or new adapters.

        Either answers as the teacher does. The teacher of later phases has its guidance embedded.
        """
        from ..denoise import GuidanceConditioned
        from ..runtime import copied

        trained = copied(self.part.split(teacher, key=key)[0])
        if self.settings.guidance != "embedded" or isinstance(trained, GuidanceConditioned):
            return trained
        return GuidanceConditioned(trained)

    def objective(
        self,
        train: TrainConfig,
        teacher: "Network",
        *,
        schedule: "AbstractSchedule",
        prediction: "AbstractPrediction",
        null_text: "Condition",
        vae: "VAE | None" = None,
        phase: int = 0,
    ) -> "AbstractObjective | AbstractMovingObjective":
        """What a phase minimises.

        **Arguments:**

        - `train`: steps and precision of the training.
        - `teacher`: the network of the phase's teacher.
        - `schedule`, `prediction`: the teacher's, which are the student's too.
        - `null_text`: embedding of the empty caption.
        - `vae`: decodes what the distance `lpips` compares; no other distance needs it.
        - `phase`: the number of the phase.
        """
        import jax
        import jax.numpy as jnp

        from ..denoise import Preconditioned
        from ..noise import grids
        from ..runtime import InPrecision
        from ..sampling import make_solver
        from .distance import make_distance
        from .guidance import make_guidance
        from .guided import GuidedDistillation
        from .presets import CM, CoDi, ConsistencyOptions, iCT, LCM
        from .progressive import ProgressiveDistillation
        from .student import AbstractStudent, LoRAStudent, Student
        from .trajectory import TeacherStep

        null_text = jax.tree.map(jnp.asarray, null_text)
        student: AbstractStudent = Student(schedule, prediction, train.policy, train.remat)
        if self.lora is not None:
            student = LoRAStudent(student, teacher)
        denoiser = Preconditioned(InPrecision(teacher, train.policy), schedule, prediction)
        guidance = make_guidance(self.settings.guidance, *self.guidance_range, phase=phase)
        # A student that is guided when it samples needs its unconditional branch.
        dropout = 0.1 if self.settings.guidance == "none" else 0.0

        steps = self.phases[phase]
        if steps is not None:
            # One shape for all phases, so that they share a compiled step.
            levels = grids.pad(grids.trailing(schedule, 2 * steps), 2 * self.stages[0] + 1)
            return ProgressiveDistillation(
                student, null_text, denoiser, jnp.asarray(levels, jnp.float32), guidance, dropout
            )
        if self.method == "guided":
            return GuidedDistillation(student, null_text, schedule, denoiser, guidance)

        options: ConsistencyOptions = {"guidance": guidance, "dropout": dropout}
        if self.distance is not None:
            options["distance"] = make_distance(self.distance, vae)
        if self.data_weight is not None:
            options["data_weight"] = self.data_weight
        if self.method == "ict":
            return iCT(student, null_text, schedule, train.steps, **options)
        if self.solver is not None:
            options["trajectory"] = TeacherStep(denoiser, make_solver(self.solver))
        preset = {"codi": CoDi, "lcm": LCM, "cm": CM}[self.method]
        return preset(student, null_text, schedule, denoiser, **options)
