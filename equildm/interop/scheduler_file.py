"""`scheduler_config.json` of diffusers, in and out."""

import dataclasses
import json
import os
from pathlib import Path

from ..runtime import write_atomic
from .config import read_config
from .config_fields import Fields, flag
from .scheduler import Scheduler
from .scheduler_process import process_fields, read_process
from .scheduler_settings import public_class, read_settings

FILE = "scheduler_config.json"


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
    schedule, prediction = read_process(settings)
    return Scheduler(
        schedule=schedule,
        prediction=prediction,
        kind=fields["_class_name"],
        spacing=spacing,
        ends_clean=settings.get("set_alpha_to_one", flag(fields, "set_alpha_to_one", True)),
        document=_text(fields),
    )


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
    spaced = scheduler.spacing in ("leading", "trailing", "linspace")
    fields = {
        **process_fields(scheduler.schedule, scheduler.prediction),
        "timestep_spacing": scheduler.spacing if spaced else "leading",
        **{f"use_{n}_sigmas": scheduler.spacing == n for n in ("karras", "exponential", "beta")},
        "steps_offset": 1,
        "set_alpha_to_one": scheduler.ends_clean,
        "clip_sample": False,
    }
    names = [*public_class(scheduler.kind).fields]
    names += [] if scheduler.ends_clean else ["set_alpha_to_one"]
    own = {name: value for name, value in fields.items() if name in names}
    return {"_class_name": scheduler.kind} | own
