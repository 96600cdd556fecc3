"""The noising process by name, for command lines and run folders."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from . import grids
from .edm import EDMPrediction, EDMSchedule, LogNormalTimes
from .predictions import AbstractPrediction, check_prediction, Clean, Epsilon, Velocity
from .rectified_flow import FlowVelocity, RectifiedFlow
from .schedules import AbstractSchedule, ScaledLinear, SquaredCosine, ZeroTerminalSNR
from .times import (
    AbstractTimes,
    LogitNormalTimes,
    LogSNRUniformTimes,
    ShiftedTimes,
    UniformTimes,
)
from .weights import AbstractWeight, EDM, MinSNR, P2, Uniform

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

SCHEDULES: Mapping[str, AbstractSchedule] = {
    "scaled-linear": ScaledLinear(),
    "squared-cosine": SquaredCosine(),
    "scaled-linear-zero-snr": ZeroTerminalSNR(ScaledLinear()),
    "rectified-flow": RectifiedFlow(),
    "edm": EDMSchedule(),
}
PREDICTIONS: Mapping[str, AbstractPrediction] = {
    "eps": Epsilon(),
    "v": Velocity(),
    "x0": Clean(),
    "flow": FlowVelocity(),
    "edm": EDMPrediction(),
}
WEIGHTS: Mapping[str, AbstractWeight] = {
    "uniform": Uniform(),
    "min-snr": MinSNR(),
    "p2": P2(),
    "edm": EDM(),
}
TIMES: Mapping[str, AbstractTimes] = {
    "uniform": UniformTimes(),
    "logit-normal": LogitNormalTimes(),
    "log-snr": LogSNRUniformTimes(),
    "log-normal": LogNormalTimes(),
    "shifted": ShiftedTimes(UniformTimes()),
    "shifted-logit-normal": ShiftedTimes(LogitNormalTimes()),
}
GRIDS: Mapping[str, Callable[[AbstractSchedule, int], np.ndarray]] = {
    "trailing": grids.trailing,
    "leading": grids.leading,
    "linspace": grids.linspace,
    "shifted": grids.shifted,
    "beta": grids.beta,
    "karras": grids.karras,
    "exponential": grids.exponential,
    "uniform-lambda": grids.uniform_lambda,
}


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
        check_prediction(PREDICTIONS[self.prediction], SCHEDULES[self.schedule])


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """The noise levels of a loss, and the weight of each."""

    weight: WeightName = "min-snr"
    """Weight of each noise level in the loss."""
    times: TimesName = "uniform"
    """Distribution of the training times."""
