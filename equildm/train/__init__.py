"""From an objective to trained weights."""

from .accumulate import accumulate as accumulate
from .adapters import OnAdapters as OnAdapters
from .ema import (
    AbstractEMA as AbstractEMA,
    DecayEMA as DecayEMA,
    power_exponent as power_exponent,
    PowerEMA as PowerEMA,
)
from .groups import rate_groups as rate_groups
from .loop import (
    Diverged as Diverged,
    fit as fit,
    Intervals as Intervals,
    Pictures as Pictures,
    resume as resume,
    Stopped as Stopped,
)
from .objective import (
    AbstractMovingObjective as AbstractMovingObjective,
    AbstractObjective as AbstractObjective,
    drop_caption as drop_caption,
    LatentDiffusion as LatentDiffusion,
)
from .optimizer import adafactor as adafactor, adamw as adamw, learning_rate as learning_rate
from .packing import pack as pack, Packed as Packed, packed as packed, unpack as unpack
from .partial import (
    check_patterns as check_patterns,
    divided as divided,
    matching as matching,
    OnPart as OnPart,
    Where as Where,
)
from .posthoc import (
    posthoc_average as posthoc_average,
    posthoc_weights as posthoc_weights,
    Snapshot as Snapshot,
)
from .prior import PriorPreservation as PriorPreservation
from .remat import rematerialise as rematerialise
from .state import TrainState as TrainState
from .step import make_step as make_step
from .super_resolution import SuperResolution as SuperResolution
