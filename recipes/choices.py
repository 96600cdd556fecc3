"""What recipes choose by name."""

from collections.abc import Callable
from typing import Literal

import diffrax
import numpy as np

from equildm.noise import (
    AbstractPrediction,
    AbstractSchedule,
    AbstractTimes,
    AbstractWeight,
    Clean,
    EDM,
    Epsilon,
    grids,
    LogitNormalTimes,
    LogSNRUniformTimes,
    MinSNR,
    P2,
    ScaledLinear,
    SquaredCosine,
    Uniform,
    UniformTimes,
    Velocity,
    ZeroTerminalSNR,
)
from equildm.runtime import Policy
from equildm.sample import SOLVERS
from equildm.train import AbstractEMA, DecayEMA, PowerEMA

PREDICTIONS: dict[str, AbstractPrediction] = {"eps": Epsilon(), "v": Velocity(), "x0": Clean()}
SCHEDULES: dict[str, AbstractSchedule] = {
    "scaled-linear": ScaledLinear(),
    "squared-cosine": SquaredCosine(),
    "scaled-linear-zero-snr": ZeroTerminalSNR(ScaledLinear()),
}
WEIGHTS: dict[str, AbstractWeight] = {
    "uniform": Uniform(),
    "min-snr": MinSNR(),
    "p2": P2(),
    "edm": EDM(),
}
TIMES: dict[str, AbstractTimes] = {
    "uniform": UniformTimes(),
    "logit-normal": LogitNormalTimes(),
    "log-snr": LogSNRUniformTimes(),
}
Grid = Literal["trailing", "leading", "linspace", "karras", "uniform-lambda"]
GRIDS: dict[Grid, Callable[[AbstractSchedule, int], np.ndarray]] = {
    "trailing": grids.trailing,
    "leading": grids.leading,
    "linspace": grids.linspace,
    "karras": grids.karras,
    "uniform-lambda": grids.uniform_lambda,
}
EMAS: dict[str, AbstractEMA] = {
    "power": PowerEMA(),
    "decay": DecayEMA(),
    "decay-0.999": DecayEMA(0.999),
    "decay-0.95": DecayEMA(0.95),
}


def policy(name: Literal["auto", "float32", "bfloat16"]) -> Policy:
    """The arithmetic of that name; auto is what suits the device."""
    return Policy.default() if name == "auto" else Policy(name)


def solver(name: str) -> diffrax.AbstractSolver:
    """The sampler of that name."""
    if name not in SOLVERS:
        raise ValueError(f"A solver is one of {', '.join(SOLVERS)}; received {name!r}.")
    return SOLVERS[name]()
