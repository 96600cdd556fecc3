"""The noise that a public scheduler's model was trained on, from its settings and back."""

from collections.abc import Mapping
from typing import Any

from ..noise import (
    AbstractPrediction,
    AbstractSchedule,
    Clean,
    EDMPrediction,
    EDMSchedule,
    Epsilon,
    FlowVelocity,
    LinearSchedule,
    RectifiedFlow,
    ScaledLinear,
    SquaredCosine,
    Velocity,
    ZeroTerminalSNR,
)
from .scheduler_levels import Settings

Process = tuple[AbstractSchedule, AbstractPrediction]

_PREDICTIONS: dict[str, AbstractPrediction] = {
    "epsilon": Epsilon(),
    "v_prediction": Velocity(),
    "sample": Clean(),
}
_BETAS: dict[type, str] = {
    ScaledLinear: "scaled_linear",
    LinearSchedule: "linear",
    SquaredCosine: "squaredcos_cap_v2",
}


def read_process(settings: Settings) -> Process:
    """The schedule and the prediction: of betas, of EDM, or of flow matching."""
    steps = settings["num_train_timesteps"]
    if "sigma_data" in settings:
        data_std = settings["sigma_data"]
        schedule = EDMSchedule(data_std, settings["sigma_min"], settings["sigma_max"], steps)
        is_velocity = settings["prediction_type"] == "v_prediction"
        return schedule, Velocity() if is_velocity else EDMPrediction(data_std)
    if "beta_schedule" not in settings:
        return RectifiedFlow(steps), FlowVelocity()
    prediction = _PREDICTIONS[settings["prediction_type"]]
    of_betas: AbstractSchedule
    if settings["beta_schedule"] == "squaredcos_cap_v2":
        of_betas = SquaredCosine(steps)
    else:
        make = LinearSchedule if settings["beta_schedule"] == "linear" else ScaledLinear
        of_betas = make(settings["beta_start"], settings["beta_end"], steps)
    if settings.get("rescale_betas_zero_snr"):
        of_betas = ZeroTerminalSNR(of_betas)
    return of_betas, prediction


def process_fields(schedule: AbstractSchedule, prediction: AbstractPrediction) -> dict[str, Any]:
    """The fields of a file that say this. A class takes those that it has.

    **Raises** `ValueError` for what no scheduler of diffusers says.
    """
    if isinstance(schedule, RectifiedFlow) and isinstance(prediction, FlowVelocity):
        return {"num_train_timesteps": schedule.steps}
    if isinstance(schedule, EDMSchedule) and isinstance(prediction, EDMPrediction | Velocity):
        return {
            "num_train_timesteps": schedule.steps,
            "sigma_min": schedule.low,
            "sigma_max": schedule.high,
            "sigma_data": schedule.data_std,
            "prediction_type": _name_of(prediction, {EDMPrediction: "epsilon"}),
        }
    base = schedule.schedule if isinstance(schedule, ZeroTerminalSNR) else schedule
    start, end = 0.0001, 0.02
    if isinstance(base, ScaledLinear | LinearSchedule):
        start, end = base.start, base.end
    return {
        "num_train_timesteps": base.steps,
        "beta_schedule": _name_of(base, _BETAS),
        "beta_start": start,
        "beta_end": end,
        "rescale_betas_zero_snr": base is not schedule,
        "prediction_type": _name_of(prediction, {}),
    }


def _name_of(part: object, names: Mapping[type, str]) -> str:
    known = {**{type(each): name for name, each in _PREDICTIONS.items()}, **names}
    if type(part) not in known:
        raise ValueError(
            f"diffusers has no {type(part).__name__} here, only {_list(_BETAS)} as schedules with "
            f"{_list(map(type, _PREDICTIONS.values()))} as predictions, RectifiedFlow with "
            "FlowVelocity, and EDMSchedule with EDMPrediction or Velocity. Save this model in the "
            "layout equildm."
        )
    return known[type(part)]


def _list(classes: Any) -> str:
    return ", ".join(each.__name__ for each in classes)
