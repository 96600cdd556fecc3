"""`scheduler_config.json` of diffusers, in and out."""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path

from ..noise import (
    AbstractPrediction,
    AbstractSchedule,
    Clean,
    Epsilon,
    LinearSchedule,
    ScaledLinear,
    SquaredCosine,
    Velocity,
    ZeroTerminalSNR,
)
from ..runtime import write_atomic
from .config import read_config
from .config_fields import Fields, flag
from .scheduler import Scheduler
from .scheduler_levels import Settings
from .scheduler_settings import public_class, read_settings

FILE = "scheduler_config.json"

_PREDICTIONS: dict[str, AbstractPrediction] = {
    "epsilon": Epsilon(),
    "v_prediction": Velocity(),
    "sample": Clean(),
}


def load_scheduler(folder: str | os.PathLike[str]) -> Scheduler:
    """Reads `scheduler_config.json` of a folder. Each field is read, or refused by name.

    Like diffusers' Stable Diffusion pipelines, it ignores `clip_sample` and takes `steps_offset` as
    1, whatever the file says.

    **Raises** `ValueError` naming the file and the field that is not supported.
    """
    scheduler = read_config(folder, "a scheduler of Stable Diffusion", parse_scheduler, file=FILE)
    document = (Path(folder) / FILE).read_text(encoding="utf-8")
    return dataclasses.replace(scheduler, document=document)


def save_scheduler(folder: str | os.PathLike[str], scheduler: Scheduler) -> None:
    """Writes what `load_scheduler` and diffusers read: the document it was read from, unchanged.

    **Raises** `ValueError` for a scheduler that diffusers does not have.
    """
    document = scheduler_document(scheduler)
    Path(folder).mkdir(parents=True, exist_ok=True)
    write_atomic(Path(folder) / FILE, document)


def has_diffusers_form(scheduler: Scheduler) -> bool:
    """Whether a `scheduler_config.json` holds a scheduler exactly."""
    try:
        scheduler_document(scheduler)
    except ValueError:
        return False
    return True


def says_the_same(scheduler: Scheduler, loaded: Scheduler) -> bool:
    """Whether a file of diffusers that was loaded is this scheduler's, field for field."""
    try:
        document = scheduler_document(scheduler)
    except ValueError:
        return False
    fields = [json.loads(text) for text in (document, loaded.document)]
    same_settings = read_settings(fields[0]) == read_settings(fields[1])
    return same_settings and scheduler.kind == loaded.kind


def parse_scheduler(fields: Fields) -> Scheduler:
    """The scheduler in a JSON object of diffusers.

    **Raises** `ValueError` or `KeyError` naming the field that is not supported.
    """
    settings = read_settings(fields)
    spacing = settings.get("timestep_spacing", "linspace")
    for name in ("karras", "exponential", "beta"):
        spacing = name if settings.get(f"use_{name}_sigmas") else spacing
    if "original_inference_steps" in settings:
        spacing = "lcm"
    return Scheduler(
        schedule=_schedule(settings),
        prediction=_PREDICTIONS[settings["prediction_type"]],
        kind=fields["_class_name"],
        spacing=spacing,
        ends_clean=flag(fields, "set_alpha_to_one", settings.get("set_alpha_to_one", True)),
        document=_text(fields),
    )


def _schedule(settings: Settings) -> AbstractSchedule:
    kind, steps = settings["beta_schedule"], settings["num_train_timesteps"]
    schedule: AbstractSchedule
    if kind == "squaredcos_cap_v2":
        schedule = SquaredCosine(steps)
    else:
        make = LinearSchedule if kind == "linear" else ScaledLinear
        schedule = make(settings["beta_start"], settings["beta_end"], steps)
    return ZeroTerminalSNR(schedule) if settings.get("rescale_betas_zero_snr") else schedule


def scheduler_document(scheduler: Scheduler) -> str:
    """The file of diffusers: the one that it was read from, or one that says the same.

    **Raises** `ValueError` for a scheduler that diffusers does not have, and for one that says
    another thing than its document.
    """
    document = scheduler.document or _text(_fields(scheduler))
    try:
        again = parse_scheduler(json.loads(document))
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"diffusers has no such scheduler: {error}. Received {scheduler}. Save this model in "
            "the layout equildm."
        ) from error
    for field in dataclasses.fields(Scheduler):
        value, there = getattr(scheduler, field.name), getattr(again, field.name)
        if field.name != "document" and value != there:
            raise ValueError(
                f"diffusers has no {scheduler.kind} with {field.name} = {value!r}, its file says "
                f"{there!r}. Save this model in the layout equildm, or change the scheduler"
                + (
                    ": document='' leaves out the file it was read from."
                    if scheduler.document
                    else "."
                )
            )
    return document


def _text(fields: Fields) -> str:
    return json.dumps(dict(fields), indent=2, sort_keys=True) + "\n"


def _fields(scheduler: Scheduler) -> Fields:
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
    spaced = scheduler.spacing in ("leading", "trailing", "linspace")
    fields = {
        "num_train_timesteps": base.steps,
        "beta_schedule": kinds[type(base)],
        "beta_start": ends[0],
        "beta_end": ends[1],
        "rescale_betas_zero_snr": zero_terminal,
        "prediction_type": predictions[type(scheduler.prediction)],
        "timestep_spacing": scheduler.spacing if spaced else "leading",
        **{f"use_{n}_sigmas": scheduler.spacing == n for n in ("karras", "exponential", "beta")},
        "steps_offset": 1,
        "set_alpha_to_one": scheduler.ends_clean,
        "clip_sample": False,
    }
    names = (*public_class(scheduler.kind).fields, "set_alpha_to_one")
    own = {name: value for name, value in fields.items() if name in names}
    return {"_class_name": scheduler.kind} | own


def _names(classes: Mapping[type, str]) -> str:
    return ", ".join(each.__name__ for each in classes)
