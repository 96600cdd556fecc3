"""`scheduler_config.json`: the noise schedule, what is predicted, and how steps are spaced."""

import dataclasses
import os
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from ..noise import (
    AbstractPrediction,
    AbstractSchedule,
    Clean,
    Epsilon,
    grids,
    Linear,
    ScaledLinear,
    SquaredCosine,
    Velocity,
    ZeroTerminalSNR,
)
from .config import check_fields, read_config, write_config
from .fields import flag, one_of, positive, whole

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
"""Their schedulers and the sampler of ours that does the same; PNDM's nearest is DDIM."""

_PREDICTIONS: dict[str, AbstractPrediction] = {
    "epsilon": Epsilon(),
    "v_prediction": Velocity(),
    "sample": Clean(),
}
_MULTISTEP = ("dpm++2m", "dpm++2s", "dpm++3m", "sde-dpm++2m", "unipc2", "unipc3")


@dataclasses.dataclass(frozen=True)
class Scheduler:
    """How a network was trained to see noise, and how it is meant to be sampled."""

    schedule: AbstractSchedule = ScaledLinear()
    """Noise levels by time."""
    prediction: AbstractPrediction = Epsilon()
    """What the network predicts."""
    kind: str = "DDIMScheduler"
    """diffusers' name of the sampler, one of `SAMPLERS`."""
    spacing: Spacing = "leading"
    """How the times of the steps lie, see `equildm.noise.grids`."""
    ends_clean: bool = False
    """Whether DDIM's last step goes to level 0 or, as in Stable Diffusion, to that of time 0."""

    @property
    def sampler(self) -> str:
        """Name of our sampler that does what this one does."""
        return SAMPLERS[self.kind]

    def levels(self, steps: int, sampler: str | None = None) -> Float[np.ndarray, "levels"]:
        """The noise levels that the public sampler steps through.

        `sampler` is a name in `equildm.sample.SOLVERS`, by default this scheduler's own.
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
    """Every so many of the 50 times that a latent consistency model is trained on (Luo 2023)."""
    if not 1 <= steps <= original:
        raise ValueError(f"An LCM is sampled in 1 to {original} steps, received {steps}.")
    times = np.arange(original, 0, -1) * (schedule.steps // original) - 1
    chosen = times[np.floor(np.linspace(0, original, steps, endpoint=False)).astype(int)]
    return np.append(schedule.levels_at(chosen.astype(np.float64)), 0.0)


def load_scheduler(folder: str | os.PathLike[str]) -> Scheduler:
    """Reads a folder with `scheduler_config.json`.

    As diffusers' Stable Diffusion pipelines do, it takes no notice of `clip_sample` and reads every
    `steps_offset` as 1.

    **Raises** `ValueError` naming the file and the field that has no place here.
    """
    return read_config(folder, "a scheduler of Stable Diffusion", _from_diffusers, file=FILE)


def save_scheduler(folder: str | os.PathLike[str], scheduler: Scheduler) -> None:
    """Writes what `load_scheduler` and diffusers read."""
    write_config(folder, _to_diffusers(scheduler), file=FILE)


def _from_diffusers(written: dict[str, Any]) -> Scheduler:
    kind = one_of(written, "_class_name", SAMPLERS)
    check_fields(
        written,
        {
            "trained_betas": None,
            "thresholding": False,
            "use_exponential_sigmas": False,
            "use_beta_sigmas": False,
            "use_lu_lambdas": False,
            "use_flow_sigmas": False,
        },
    )
    spacing = written.get("timestep_spacing", "leading")
    if flag(written, "use_karras_sigmas"):
        spacing = "karras"
    if kind == "LCMScheduler":
        spacing = "lcm"
    return Scheduler(
        schedule=_schedule(written),
        prediction=_PREDICTIONS[one_of(written, "prediction_type", _PREDICTIONS, "epsilon")],
        kind=kind,
        spacing=_checked_spacing(spacing),
        ends_clean=flag(written, "set_alpha_to_one", kind != "PNDMScheduler"),
    )


def _checked_spacing(spacing: str) -> Spacing:
    if spacing not in ("leading", "trailing", "linspace", "karras", "lcm"):
        raise ValueError(f"timestep_spacing is {spacing!r}, which no public scheduler has")
    return spacing  # type: ignore[return-value]


def _schedule(written: dict[str, Any]) -> AbstractSchedule:
    kind, steps = written["beta_schedule"], whole(written, "num_train_timesteps")
    schedule: AbstractSchedule
    if kind == "squaredcos_cap_v2":
        schedule = SquaredCosine(steps)
    elif kind in ("linear", "scaled_linear"):
        make = Linear if kind == "linear" else ScaledLinear
        schedule = make(positive(written, "beta_start"), positive(written, "beta_end"), steps)
    else:
        raise ValueError(f"beta_schedule is {kind!r}, which is not supported")
    return ZeroTerminalSNR(schedule) if flag(written, "rescale_betas_zero_snr") else schedule


def _to_diffusers(scheduler: Scheduler) -> dict[str, Any]:
    predictions = {type(prediction): name for name, prediction in _PREDICTIONS.items()}
    base = scheduler.schedule
    zero_terminal = isinstance(base, ZeroTerminalSNR)
    if isinstance(base, ZeroTerminalSNR):
        base = base.schedule
    kinds: dict[type, str] = {
        ScaledLinear: "scaled_linear",
        Linear: "linear",
        SquaredCosine: "squaredcos_cap_v2",
    }
    if type(base) not in kinds:
        raise ValueError(f"diffusers has no schedule like {type(base).__name__}.")
    ends = (base.start, base.end) if isinstance(base, ScaledLinear | Linear) else (0.0001, 0.02)
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
