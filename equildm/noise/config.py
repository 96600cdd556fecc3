"""The noising process by name, for command lines and run folders."""

import dataclasses
from collections.abc import Mapping
from typing import cast, get_args, Literal, TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # loaded where they are used: options are shown without jax
    from .predictions import AbstractPrediction
    from .schedules import AbstractSchedule
    from .times import AbstractTimes
    from .weights import AbstractWeight

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

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class NoiseConfig:
    """How images become noise, and what the network predicts.

    **Raises** `ValueError` for a name or a Python path that is not there, and for a combination
    that cannot work.
    """

    schedule: ScheduleName | str = "scaled-linear"
    """The noise schedule; scaled-linear is Stable Diffusion's, rectified-flow that of flow
    matching. Or one of your own, for instance my_noise.py:MySchedule."""
    prediction: PredictionName | str = "v"
    """What the network predicts: noise, velocity, clean latent, a flow's velocity (flow), or as EDM
    (edm). Or one of your own."""

    def __post_init__(self) -> None:
        if self.schedule not in ("scaled-linear", "squared-cosine") or self.prediction != "v":
            schedule, prediction = self.build()  # a default needs no check, and no jax
            prediction.check_schedule(schedule)

    def build(self) -> "tuple[AbstractSchedule, AbstractPrediction]":
        """The schedule and the prediction."""
        from .named import PREDICTIONS, SCHEDULES
        from .predictions import AbstractPrediction
        from .schedules import AbstractSchedule

        return (
            _named("schedule", self.schedule, SCHEDULES, AbstractSchedule),
            _named("prediction", self.prediction, PREDICTIONS, AbstractPrediction),
        )


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """The noise levels of a loss, and the weight of each.

    **Raises** `ValueError` for a name or a Python path that is not there.
    """

    weight: WeightName | str = "min-snr"
    """Weight of each noise level in the loss, by name or of your own."""
    times: TimesName | str = "uniform"
    """Distribution of the training times, by name or of your own."""

    def __post_init__(self) -> None:
        if self.weight not in get_args(WeightName) or self.times not in get_args(TimesName):
            self.build()

    def build(self) -> "tuple[AbstractWeight, AbstractTimes]":
        """The weight and the distribution of the times."""
        from .named import TIMES, WEIGHTS
        from .times import AbstractTimes
        from .weights import AbstractWeight

        return (
            _named("weight", self.weight, WEIGHTS, AbstractWeight),
            _named("times", self.times, TIMES, AbstractTimes),
        )


def _named(option: str, name: str, choices: Mapping[str, T], base: type) -> T:
    from ..runtime.python_path import load_object

    if name in choices:
        return choices[name]
    if isinstance(name, str) and ":" in name:
        return cast(T, load_object(name, base))
    raise ValueError(
        f"--{option} is one of {', '.join(choices)}, or a class of your own by its Python path, "
        f"my_module:MyClass or my_file.py:MyClass; received {name!r}."
    )
