"""The mathematics of the noising process: schedules, grids, predictions, weights, times."""

from . import grids as grids
from .config import (
    GridName as GridName,
    LossConfig as LossConfig,
    NoiseConfig as NoiseConfig,
)
from .corrupt import corrupt as corrupt
from .edm import (
    EDMPrediction as EDMPrediction,
    EDMSchedule as EDMSchedule,
    LogNormalTimes as LogNormalTimes,
)
from .named import (
    GRIDS as GRIDS,
    PREDICTIONS as PREDICTIONS,
    SCHEDULES as SCHEDULES,
    TIMES as TIMES,
    WEIGHTS as WEIGHTS,
)
from .predictions import (
    AbstractPrediction as AbstractPrediction,
    Clean as Clean,
    Epsilon as Epsilon,
    Velocity as Velocity,
)
from .rectified_flow import FlowVelocity as FlowVelocity, RectifiedFlow as RectifiedFlow
from .schedules import (
    AbstractSchedule as AbstractSchedule,
    INFINITE_LEVEL as INFINITE_LEVEL,
    LinearSchedule as LinearSchedule,
    ScaledLinear as ScaledLinear,
    SquaredCosine as SquaredCosine,
    ZeroTerminalSNR as ZeroTerminalSNR,
)
from .times import (
    AbstractTimes as AbstractTimes,
    LogitNormalTimes as LogitNormalTimes,
    LogSNRUniformTimes as LogSNRUniformTimes,
    ShiftedTimes as ShiftedTimes,
    UniformTimes as UniformTimes,
)
from .weights import (
    AbstractWeight as AbstractWeight,
    EDM as EDM,
    MinSNR as MinSNR,
    P2 as P2,
    TruncatedSNR as TruncatedSNR,
    Uniform as Uniform,
)
