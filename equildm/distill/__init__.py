"""Sampling in fewer steps: consistency, guided and progressive distillation, as objectives."""

from .boundary import (
    AbstractBoundary as AbstractBoundary,
    ConsistencyConfig as ConsistencyConfig,
    ConsistencyFunction as ConsistencyFunction,
    LevelBoundary as LevelBoundary,
    TimeBoundary as TimeBoundary,
)
from .config import DistillConfig as DistillConfig
from .consistency import (
    ConsistencyDistillation as ConsistencyDistillation,
    ConsistencyLoss as ConsistencyLoss,
)
from .distance import (
    AbstractDistance as AbstractDistance,
    JointPseudoHuber as JointPseudoHuber,
    make_distance as make_distance,
    PixelDistance as PixelDistance,
    PseudoHuber as PseudoHuber,
    SquaredL2 as SquaredL2,
)
from .guidance import (
    embedded_guidance as embedded_guidance,
    fixed_guidance as fixed_guidance,
    Guidance as Guidance,
    inherited_guidance as inherited_guidance,
    make_guidance as make_guidance,
    no_guidance as no_guidance,
    shared_guidance as shared_guidance,
)
from .guided import GuidedDistillation as GuidedDistillation
from .methods import (
    DISTILL_METHODS as DISTILL_METHODS,
    DistillMethod as DistillMethod,
)
from .names import (
    DistanceName as DistanceName,
    GuidanceName as GuidanceName,
    MethodName as MethodName,
)
from .pairs import (
    AbstractLevelPairs as AbstractLevelPairs,
    AbstractPairWeight as AbstractPairWeight,
    EqualPairWeight as EqualPairWeight,
    GrowingLevelPairs as GrowingLevelPairs,
    InverseGapWeight as InverseGapWeight,
    KarrasLevelPairs as KarrasLevelPairs,
    TimeLevelPairs as TimeLevelPairs,
)
from .presets import (
    CM as CM,
    CoDi as CoDi,
    ConsistencyOptions as ConsistencyOptions,
    iCT as iCT,
    LCM as LCM,
)
from .progressive import ProgressiveDistillation as ProgressiveDistillation
from .student import (
    AbstractStudent as AbstractStudent,
    LoRAStudent as LoRAStudent,
    Student as Student,
)
from .target import (
    AbstractTarget as AbstractTarget,
    EMATarget as EMATarget,
    OnlineTarget as OnlineTarget,
)
from .trajectory import (
    AbstractTrajectory as AbstractTrajectory,
    ConsistencyTraining as ConsistencyTraining,
    flow_step as flow_step,
    TeacherStep as TeacherStep,
)
