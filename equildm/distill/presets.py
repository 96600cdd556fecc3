"""The published recipes of consistency distillation as choices of one objective.

| | trajectory | pairs | distance | target | guidance |
|---|---|---|---|---|---|
| `CoDi` | teacher, DDIM | t = 20 n, t - 20 | l2, and to the data | average, 0.999 | none |
| `LCM` | teacher, DDIM | t = 20 n - 1, t - 20 | pseudo-Huber | average, 0.95 | embedded |
| `CM` | teacher, Heun | Karras, 18 | l2 or LPIPS | average, 0.95 | none |
| `iCT` | same noise | Karras, 10 to 1280 | pseudo-Huber | online | none |

The averages' decay is that of the `DecayEMA` one trains with.
"""

from typing import Any

from ..denoise import AbstractDenoiser
from ..noise import AbstractSchedule
from ..sample import Heun
from .boundary import LevelBoundary, TimeBoundary
from .consistency import ConsistencyDistillation
from .distance import JointPseudoHuber, PseudoHuber
from .guidance import embedded_guidance
from .pairs import GrowingPairs, InverseGap, KarrasPairs, TimePairs
from .student import AbstractStudent
from .target import OnlineTarget
from .trajectory import SharedNoise, TeacherStep


def CoDi(
    student: AbstractStudent,
    null_text: Any,
    schedule: AbstractSchedule,
    teacher: AbstractDenoiser,
    **choices: Any,
) -> ConsistencyDistillation:
    """Conditional consistency distillation (Mei et al. 2023, as published), the scaling paper's.

    The teacher is the conditional model without guidance. A tenth of the captions is dropped, so
    that the student may be guided when it samples. Best with `sample.DDIM` in 4 steps. Its distance
    to the data outweighs consistency: the student stays near its teacher's clean estimate. With
    `data_weight=0` it learns to jump.

    **Arguments:**

    - `student`, `null_text`: see `ConsistencyDistillation`.
    - `schedule`: of the teacher.
    - `teacher`: a denoiser without guidance.
    - `choices`: other fields of `ConsistencyDistillation`, instead of the preset's.
    """
    preset: dict[str, Any] = {
        "boundary": TimeBoundary(schedule),
        "pairs": TimePairs(schedule, first=0),
        "trajectory": TeacherStep(teacher),
        "data_weight": 1.0,
        "dropout": 0.1,
    }
    return ConsistencyDistillation(student, null_text, **(preset | choices))


def LCM(
    student: AbstractStudent,
    null_text: Any,
    schedule: AbstractSchedule,
    teacher: AbstractDenoiser,
    **choices: Any,
) -> ConsistencyDistillation:
    """Latent consistency models (Luo et al. 2023, algorithm 1, and the published code).

    The teacher is guided by weights of 6 to 16 (theirs: 5 to 15), which the student is told: its
    network is `GuidanceConditioned`. Best with `sample.Consistency` in 4 steps.

    **Arguments:** see `CoDi`.
    """
    preset: dict[str, Any] = {
        "boundary": TimeBoundary(schedule),
        "pairs": TimePairs(schedule),
        "trajectory": TeacherStep(teacher),
        "distance": PseudoHuber(),
        "guidance": embedded_guidance(6.0, 16.0),
    }
    return ConsistencyDistillation(student, null_text, **(preset | choices))


def CM(
    student: AbstractStudent,
    null_text: Any,
    schedule: AbstractSchedule,
    teacher: AbstractDenoiser,
    **choices: Any,
) -> ConsistencyDistillation:
    """Consistency distillation (Song et al. 2023, algorithm 2) over the teacher's range of levels.

    With `distance=PixelDistance(lpips, vae)` it has the paper's LPIPS. Best with
    `sample.Consistency`.

    **Arguments:** see `CoDi`.
    """
    preset: dict[str, Any] = {
        "boundary": LevelBoundary(schedule.lowest),
        "pairs": KarrasPairs(schedule.lowest, schedule.highest),
        "trajectory": TeacherStep(teacher, Heun()),
        "dropout": 0.1,
    }
    return ConsistencyDistillation(student, null_text, **(preset | choices))


def iCT(
    student: AbstractStudent,
    null_text: Any,
    schedule: AbstractSchedule,
    updates: int,
    **choices: Any,
) -> ConsistencyDistillation:
    """Improved consistency training (Song & Dhariwal 2023, table 1): no teacher.

    The student may begin as a trained denoiser or fresh. Best with `sample.Consistency`.

    **Arguments:** see `CoDi`; `updates` is how long the training is, for the curriculum.
    """
    preset: dict[str, Any] = {
        "boundary": LevelBoundary(schedule.lowest),
        "pairs": GrowingPairs(schedule.lowest, schedule.highest, updates),
        "trajectory": SharedNoise(),
        "target": OnlineTarget(),
        "distance": JointPseudoHuber(),
        "pair_weight": InverseGap(),
        "dropout": 0.1,
    }
    return ConsistencyDistillation(student, null_text, **(preset | choices))
