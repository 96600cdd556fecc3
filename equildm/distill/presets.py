"""The published recipes of consistency distillation as choices of one objective.

| | trajectory | pairs | distance | target | guidance |
|---|---|---|---|---|---|
| `CoDi` | teacher, DDIM | t = 20 n, t - 20 | l2, and to the data | average, 0.999 | none |
| `LCM` | teacher, DDIM | t = 20 n - 1, t - 20 | pseudo-Huber | average, 0.95 | embedded |
| `CM` | teacher, Heun | Karras, 18 | l2 or LPIPS | average, 0.95 | none |
| `iCT` | same noise | Karras, 10 to 1280 | pseudo-Huber | online | none |

The decay of the average is that of the `DecayEMA` that the training keeps.
"""

from typing import TypedDict, Unpack

from .._types import Condition
from ..denoise import AbstractDenoiser
from ..noise import AbstractSchedule
from ..sampling import Heun
from .boundary import AbstractBoundary, LevelBoundary, TimeBoundary
from .consistency import ConsistencyDistillation
from .distance import AbstractDistance, JointPseudoHuber, PseudoHuber
from .guidance import embedded_guidance, Guidance
from .pairs import (
    AbstractLevelPairs,
    AbstractPairWeight,
    GrowingLevelPairs,
    InverseGapWeight,
    KarrasLevelPairs,
    TimeLevelPairs,
)
from .student import AbstractStudent
from .target import AbstractTarget, OnlineTarget
from .trajectory import AbstractTrajectory, ConsistencyTraining, TeacherStep


class ConsistencyOptions(TypedDict, total=False):
    """The fields of `ConsistencyDistillation` that a preset chooses."""

    boundary: AbstractBoundary
    pairs: AbstractLevelPairs
    trajectory: AbstractTrajectory
    target: AbstractTarget
    distance: AbstractDistance
    pair_weight: AbstractPairWeight
    data_weight: float
    guidance: Guidance
    dropout: float


def CoDi(
    student: AbstractStudent,
    null_text: Condition,
    schedule: AbstractSchedule,
    teacher: AbstractDenoiser,
    **options: Unpack[ConsistencyOptions],
) -> ConsistencyDistillation:
    """Conditional consistency distillation (Mei et al. 2023, as published), the scaling paper's.

    The teacher is the conditional model without guidance. A tenth of the captions is dropped, so
    that the student can be guided when it samples. Best with `sampling.DDIM` in 4 steps. The
    distance to the data outweighs consistency: the student stays near its teacher's clean estimate.
    With `data_weight=0` it learns to jump.

    **Arguments:**

    - `student`, `null_text`: see `ConsistencyDistillation`.
    - `schedule`: the teacher's noise schedule.
    - `teacher`: a denoiser without guidance.
    - `options`: fields of `ConsistencyDistillation` that replace the preset's.
    """
    preset: ConsistencyOptions = {
        "boundary": TimeBoundary(schedule),
        "pairs": TimeLevelPairs(schedule, first=0),
        "trajectory": TeacherStep(teacher),
        "data_weight": 1.0,
        "dropout": 0.1,
    }
    return ConsistencyDistillation(student, null_text, **(preset | options))


def LCM(
    student: AbstractStudent,
    null_text: Condition,
    schedule: AbstractSchedule,
    teacher: AbstractDenoiser,
    **options: Unpack[ConsistencyOptions],
) -> ConsistencyDistillation:
    """Latent consistency models (Luo et al. 2023, algorithm 1, and the published code).

    The teacher is guided by scales of 6 to 16 (theirs: 5 to 15). The student is conditioned on the
    scale: its network is `GuidanceConditioned`. Best with `sampling.Consistency` in 4 steps.

    **Arguments:** see `CoDi`.
    """
    preset: ConsistencyOptions = {
        "boundary": TimeBoundary(schedule),
        "pairs": TimeLevelPairs(schedule),
        "trajectory": TeacherStep(teacher),
        "distance": PseudoHuber(),
        "guidance": embedded_guidance(6.0, 16.0),
    }
    return ConsistencyDistillation(student, null_text, **(preset | options))


def CM(
    student: AbstractStudent,
    null_text: Condition,
    schedule: AbstractSchedule,
    teacher: AbstractDenoiser,
    **options: Unpack[ConsistencyOptions],
) -> ConsistencyDistillation:
    """Consistency distillation (Song et al. 2023, algorithm 2) over the teacher's range of levels.

    With `distance=PixelDistance(lpips, vae)` it has the paper's LPIPS. Best with
    `sampling.Consistency`.

    **Arguments:** see `CoDi`.
    """
    preset: ConsistencyOptions = {
        "boundary": LevelBoundary(schedule.lowest),
        "pairs": KarrasLevelPairs(schedule.lowest, schedule.highest),
        "trajectory": TeacherStep(teacher, Heun()),
        "dropout": 0.1,
    }
    return ConsistencyDistillation(student, null_text, **(preset | options))


def iCT(
    student: AbstractStudent,
    null_text: Condition,
    schedule: AbstractSchedule,
    updates: int,
    **options: Unpack[ConsistencyOptions],
) -> ConsistencyDistillation:
    """Improved consistency training (Song & Dhariwal 2023, table 1), without a teacher.

    The student begins as a trained denoiser or with fresh weights. Best with
    `sampling.Consistency`.

    **Arguments:** see `CoDi`; `updates` is the number of updates of the training, for the
    curriculum.
    """
    preset: ConsistencyOptions = {
        "boundary": LevelBoundary(schedule.lowest),
        "pairs": GrowingLevelPairs(schedule.lowest, schedule.highest, updates),
        "trajectory": ConsistencyTraining(),
        "target": OnlineTarget(),
        "distance": JointPseudoHuber(),
        "pair_weight": InverseGapWeight(),
        "dropout": 0.1,
    }
    return ConsistencyDistillation(student, null_text, **(preset | options))
