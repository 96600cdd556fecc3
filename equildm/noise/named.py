"""Schedules, predictions, weights, times and grids by name."""

from collections.abc import Callable, Mapping

import numpy as np

from . import grids
from .edm import EDMPrediction, EDMSchedule, LogNormalTimes
from .predictions import AbstractPrediction, Clean, Epsilon, Velocity
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
