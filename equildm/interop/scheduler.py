"""`scheduler_config.json`: the noise schedule, the prediction, and the spacing of the steps."""

import dataclasses
import os
from typing import Literal

import numpy as np
from jaxtyping import Float

from ..noise import (
    AbstractPrediction,
    AbstractSchedule,
    Clean,
    Epsilon,
    grids,
    LinearSchedule,
    ScaledLinear,
    SquaredCosine,
    Velocity,
    ZeroTerminalSNR,
)
from .config import check_fields, read_config, write_config
from .config_fields import Fields, flag, one_of, positive_float, positive_int

FILE = "scheduler_config.json"
Spacing = Literal["leading", "trailing", "linspace", "karras", "lcm"]

SAMPLERS = {
    "DDIMScheduler": "ddim",
    "DDPMScheduler": "ddpm",
    "PNDMScheduler": "ddim",
    "DPMSolverMultistepScheduler": "dpm++2m",
    "DPMSolverSinglestepScheduler": "dpm++2s",
    "UniPCMultistepScheduler": "unipc2",
    "EulerDiscreteScheduler": "euler",
    "EulerAncestralDiscreteScheduler": "euler-ancestral",
    "HeunDiscreteScheduler": "heun",
    "LCMScheduler": "consistency",
}
"""diffusers' schedulers and our equivalent samplers. PNDM's nearest is DDIM."""

_PREDICTIONS: dict[str, AbstractPrediction] = {
    "epsilon": Epsilon(),
    "v_prediction": Velocity(),
    "sample": Clean(),
}
_MULTISTEP = ("dpm++2m", "dpm++2s", "dpm++3m", "sde-dpm++2m", "unipc2", "unipc3")


@dataclasses.dataclass(frozen=True)
class Scheduler:
    """The noise that a network was trained on, and how it is meant to be sampled."""

    schedule: AbstractSchedule = ScaledLinear()
    """Noise levels by time."""
    prediction: AbstractPrediction = Epsilon()
    """What the network predicts."""
    kind: str = "DDIMScheduler"
    """diffusers' name of the sampler, one of `SAMPLERS`."""
    spacing: Spacing = "leading"
    """Spacing of the steps' times, see `equildm.noise.grids`."""
    ends_clean: bool = False
    """Whether DDIM's last step goes to level 0. In Stable Diffusion it goes to that of time 0."""

    @property
    def sampler(self) -> str:
        """Name of our equivalent sampler."""
        return SAMPLERS[self.kind]

    def levels(self, steps: int, sampler: str | None = None) -> Float[np.ndarray, "levels"]:
        """The noise levels that the public sampler steps through.

        `sampler` is a name in `equildm.sampling.SOLVERS`, by default this scheduler's own.
        """
        sampler = sampler or self.sampler
        ends_at_time_0 = sampler in ("ddim", "dpm++1") and not self.ends_clean
        final = self.schedule.lowest if ends_at_time_0 else 0.0
        endpoint = sampler not in _MULTISTEP
        if self.spacing == "trailing":
            return grids.trailing(self.schedule, steps, final=final)
        if self.spacing == "linspace":
            return grids.linspace(self.schedule, steps, final=final, endpoint=endpoint)
        if self.spacing == "karras":
            return grids.karras(self.schedule, steps, final=final)
        if self.spacing == "lcm":
            return _lcm(self.schedule, steps)
        return grids.leading(self.schedule, steps, final=final, endpoint=endpoint)


def _lcm(schedule: AbstractSchedule, steps: int, original: int = 50) -> Float[np.ndarray, "levels"]:
    """Levels of evenly spaced ones among the 50 times that an LCM is trained on (Luo 2023)."""
    if not 1 <= steps <= original:
        raise ValueError(f"An LCM is sampled in 1 to {original} steps, received {steps}.")
    times = np.arange(original, 0, -1) * (schedule.steps // original) - 1
    indices = np.floor(np.linspace(0, original, steps, endpoint=False)).astype(int)
    return np.append(schedule.levels_at(times[indices].astype(np.float64)), 0.0)


def load_scheduler(folder: str | os.PathLike[str]) -> Scheduler:
    """Reads `scheduler_config.json` of a folder.

    Like diffusers' Stable Diffusion pipelines, it ignores `clip_sample` and takes `steps_offset` as
    1, whatever the file says.

    **Raises** `ValueError` naming the file and the field that is not supported.
    """
    return read_config(folder, "a scheduler of Stable Diffusion", parse_scheduler, file=FILE)


def save_scheduler(folder: str | os.PathLike[str], scheduler: Scheduler) -> None:
    """Writes what `load_scheduler` and diffusers read."""
    write_config(folder, scheduler_fields(scheduler), file=FILE)


def has_diffusers_form(scheduler: Scheduler) -> bool:
    """Whether a `scheduler_config.json` holds a scheduler exactly."""
    try:
        return parse_scheduler(scheduler_fields(scheduler)) == scheduler
    except ValueError:
        return False


def parse_scheduler(fields: Fields) -> Scheduler:
    """The scheduler in a JSON object of diffusers.

    **Raises** `ValueError` or `KeyError` naming the field that is not supported.
    """
    kind = one_of(fields, "_class_name", SAMPLERS)
    check_fields(
        fields,
        {
            "trained_betas": None,
            "thresholding": False,
            "use_exponential_sigmas": False,
            "use_beta_sigmas": False,
            "use_lu_lambdas": False,
            "use_flow_sigmas": False,
        },
    )
    spacing = fields.get("timestep_spacing", "leading")
    if flag(fields, "use_karras_sigmas"):
        spacing = "karras"
    if kind == "LCMScheduler":
        spacing = "lcm"
    return Scheduler(
        schedule=_schedule(fields),
        prediction=_PREDICTIONS[one_of(fields, "prediction_type", _PREDICTIONS, "epsilon")],
        kind=kind,
        spacing=_checked_spacing(spacing),
        ends_clean=flag(fields, "set_alpha_to_one", kind != "PNDMScheduler"),
    )


def _checked_spacing(spacing: str) -> Spacing:
    if spacing not in ("leading", "trailing", "linspace", "karras", "lcm"):
        raise ValueError(f"timestep_spacing is {spacing!r}, which no public scheduler has")
    return spacing  # type: ignore[return-value]


def _schedule(fields: Fields) -> AbstractSchedule:
    kind, steps = fields["beta_schedule"], positive_int(fields, "num_train_timesteps")
    schedule: AbstractSchedule
    if kind == "squaredcos_cap_v2":
        schedule = SquaredCosine(steps)
    elif kind in ("linear", "scaled_linear"):
        make = LinearSchedule if kind == "linear" else ScaledLinear
        first, last = (positive_float(fields, name) for name in ("beta_start", "beta_end"))
        schedule = make(first, last, steps)
    else:
        raise ValueError(f"beta_schedule is {kind!r}, which is not supported")
    return ZeroTerminalSNR(schedule) if flag(fields, "rescale_betas_zero_snr") else schedule


def scheduler_fields(scheduler: Scheduler) -> Fields:
    """The JSON object of diffusers: the inverse of `parse_scheduler`.

    **Raises** `ValueError` for a schedule or a prediction that diffusers does not have.
    """
    predictions: dict[type, str] = {type(each): name for name, each in _PREDICTIONS.items()}
    base = scheduler.schedule
    zero_terminal = isinstance(base, ZeroTerminalSNR)
    if isinstance(base, ZeroTerminalSNR):
        base = base.schedule
    kinds: dict[type, str] = {
        ScaledLinear: "scaled_linear",
        LinearSchedule: "linear",
        SquaredCosine: "squaredcos_cap_v2",
    }
    for value, known in ((base, kinds), (scheduler.prediction, predictions)):
        if type(value) not in known:
            raise ValueError(
                f"diffusers has no {type(value).__name__}, only {_names(kinds)} as schedules and "
                f"{_names(predictions)} as predictions. Save this model in the layout equildm."
            )
    ends = (
        (base.start, base.end)
        if isinstance(base, ScaledLinear | LinearSchedule)
        else (0.0001, 0.02)
    )
    return {
        "_class_name": scheduler.kind,
        "num_train_timesteps": base.steps,
        "beta_schedule": kinds[type(base)],
        "beta_start": ends[0],
        "beta_end": ends[1],
        "rescale_betas_zero_snr": zero_terminal,
        "prediction_type": predictions[type(scheduler.prediction)],
        "timestep_spacing": scheduler.spacing
        if scheduler.spacing in ("leading", "trailing", "linspace")
        else "leading",
        "use_karras_sigmas": scheduler.spacing == "karras",
        "steps_offset": 1,
        "set_alpha_to_one": scheduler.ends_clean,
        "clip_sample": False,
    }


def _names(classes: dict[type, str]) -> str:
    return ", ".join(each.__name__ for each in classes)
