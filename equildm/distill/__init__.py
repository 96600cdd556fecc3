"""Fewer steps: consistency, guided and progressive distillation, as objectives for `fit`."""

from .adapted import AdaptedStudent as AdaptedStudent
from .boundary import (
    AbstractBoundary as AbstractBoundary,
    ConsistencyFunction as ConsistencyFunction,
    LevelBoundary as LevelBoundary,
    TimeBoundary as TimeBoundary,
)
from .consistency import (
    ConsistencyDistillation as ConsistencyDistillation,
    ConsistencyLoss as ConsistencyLoss,
)
from .distance import (
    AbstractDistance as AbstractDistance,
    JointPseudoHuber as JointPseudoHuber,
    PixelDistance as PixelDistance,
    PseudoHuber as PseudoHuber,
    SquaredL2 as SquaredL2,
)
from .guidance import (
    embedded_guidance as embedded_guidance,
    fixed_guidance as fixed_guidance,
    Guidance as Guidance,
    inherited_guidance as inherited_guidance,
    no_guidance as no_guidance,
    shared_guidance as shared_guidance,
)
from .guided import GuidedDistillation as GuidedDistillation
from .pairs import (
    AbstractPairs as AbstractPairs,
    AbstractPairWeight as AbstractPairWeight,
    EqualPairs as EqualPairs,
    GrowingPairs as GrowingPairs,
    InverseGap as InverseGap,
    KarrasPairs as KarrasPairs,
    TimePairs as TimePairs,
)
from .presets import CM as CM, CoDi as CoDi, iCT as iCT, LCM as LCM
from .progressive import ProgressiveDistillation as ProgressiveDistillation
from .student import AbstractStudent as AbstractStudent, Student as Student
from .target import (
    AbstractTarget as AbstractTarget,
    EMATarget as EMATarget,
    OnlineTarget as OnlineTarget,
)
from .trajectory import (
    AbstractTrajectory as AbstractTrajectory,
    flow_step as flow_step,
    SharedNoise as SharedNoise,
    TeacherStep as TeacherStep,
)
