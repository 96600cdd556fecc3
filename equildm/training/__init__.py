"""Training: objectives, averages of weights, the step and the loop."""

from .accumulate import accumulate as accumulate
from .config import TrainConfig as TrainConfig
from .ema import (
    AbstractEMA as AbstractEMA,
    DecayEMA as DecayEMA,
    EMAS as EMAS,
    power_exponent as power_exponent,
    PowerEMA as PowerEMA,
)
from .finetune import FineTuneConfig as FineTuneConfig, Trainable as Trainable
from .groups import rate_groups as rate_groups
from .held_out import held_out_images as held_out_images, held_out_subject as held_out_subject
from .loop import (
    Diverged as Diverged,
    fit as fit,
    Intervals as Intervals,
    Preview as Preview,
    Stopped as Stopped,
)
from .masks import (
    box_mask as box_mask,
    brush_mask as brush_mask,
    MakeMask as MakeMask,
    random_mask as random_mask,
)
from .monitor_config import (
    MonitorConfig as MonitorConfig,
    TrackerName as TrackerName,
    TRACKERS as TRACKERS,
)
from .names import EMAName as EMAName, OptimizerName as OptimizerName, Remat as Remat
from .objectives.adversarial import (
    AdversarialObjective as AdversarialObjective,
    AdversarialVAE as AdversarialVAE,
)
from .objectives.base import (
    AbstractMovingObjective as AbstractMovingObjective,
    AbstractObjective as AbstractObjective,
)
from .objectives.conditioned import (
    ConditionedDenoising as ConditionedDenoising,
    control_image as control_image,
    MakeCondition as MakeCondition,
    masked_condition as masked_condition,
    MaskedImage as MaskedImage,
)
from .objectives.denoising import (
    DenoisingObjective as DenoisingObjective,
    drop_caption as drop_caption,
)
from .objectives.prior_preservation import PriorPreservation as PriorPreservation
from .objectives.super_resolution import SuperResolution as SuperResolution
from .objectives.vae import VAEObjective as VAEObjective
from .objectives.vae_config import VAELossConfig as VAELossConfig
from .optimizer import (
    adafactor as adafactor,
    adamw as adamw,
    learning_rate as learning_rate,
    OPTIMIZERS as OPTIMIZERS,
)
from .optimizer_config import (
    OptimizerConfig as OptimizerConfig,
)
from .packing import pack as pack, Packed as Packed, packed as packed, unpack as unpack
from .posthoc import (
    posthoc_average as posthoc_average,
    posthoc_weights as posthoc_weights,
    Snapshot as Snapshot,
)
from .prior_config import PriorConfig as PriorConfig
from .remat import rematerialise as rematerialise
from .resume import resume as resume
from .scheduled import ScheduledOptimizer as ScheduledOptimizer
from .state import TrainState as TrainState
from .step import make_step as make_step
from .step_flops import step_flops as step_flops
from .trainable import (
    check_patterns as check_patterns,
    LoRAObjective as LoRAObjective,
    matching as matching,
    PartialObjective as PartialObjective,
    partition_trainable as partition_trainable,
    Where as Where,
)
from .trained_part import (
    AbstractTrainedPart as AbstractTrainedPart,
    AllWeights as AllWeights,
    LoRAConfig as LoRAConfig,
    MatchingWeights as MatchingWeights,
)
from .trainer import put_frozen as put_frozen, train as train
from .validation import Validation as Validation
