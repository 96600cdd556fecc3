"""The noising process by name, for command lines and run folders."""

import dataclasses
from typing import Literal

ScheduleName = Literal[
    "scaled-linear", "squared-cosine", "scaled-linear-zero-snr", "rectified-flow", "edm"
]
PredictionName = Literal["eps", "v", "x0", "flow", "edm"]
WeightName = Literal["uniform", "min-snr", "p2", "edm"]
TimesName = Literal[
    "uniform", "logit-normal", "log-snr", "log-normal", "shifted", "shifted-logit-normal"
]
GridName = Literal[
    "trailing", "leading", "linspace", "shifted", "beta", "karras", "exponential", "uniform-lambda"
]


@dataclasses.dataclass(frozen=True)
class NoiseConfig:
    """How images become noise, and what the network predicts."""

    schedule: ScheduleName = "scaled-linear"
    """The noise schedule; scaled-linear is Stable Diffusion's, rectified-flow that of flow
    matching."""
    prediction: PredictionName = "v"
    """What the network predicts: noise, velocity, clean latent, a flow's velocity (flow), or as EDM
    (edm)."""

    def __post_init__(self) -> None:
        if (self.schedule, self.prediction) != ("scaled-linear", "v"):
            from .named import PREDICTIONS, SCHEDULES  # the default needs no check, and no jax
            from .predictions import check_prediction

            check_prediction(PREDICTIONS[self.prediction], SCHEDULES[self.schedule])


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """The noise levels of a loss, and the weight of each."""

    weight: WeightName = "min-snr"
    """Weight of each noise level in the loss."""
    times: TimesName = "uniform"
    """Distribution of the training times."""
