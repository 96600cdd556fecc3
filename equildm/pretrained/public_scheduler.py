"""The scheduler with which diffusers samples a model."""

import dataclasses
import json

import numpy as np

from ..denoise import GuidanceEmbeddingConfig
from ..distill import ConsistencyConfig
from ..interop import Scheduler
from ..interop.scheduler_file import parse_scheduler, scheduler_document
from ..interop.scheduler_settings import public_class
from ..pipeline import ModelConfig
from .pipeline_index import LCM_PIPELINE

ONLY_OURS = "Save it in this library's own layout: layout='equildm'."


def public_scheduler(config: ModelConfig) -> Scheduler:
    """The scheduler that a folder of diffusers gets: the model's own, or LCM's if it is one.

    **Raises** `ValueError` for a model that no pipeline of diffusers samples.
    """
    network, scheduler = config.network, config.scheduler
    is_lcm = scheduler.kind == "LCMScheduler"
    if isinstance(network, ConsistencyConfig) and not is_lcm:
        return _lcm(config, network)
    if isinstance(network, GuidanceEmbeddingConfig) and not is_lcm:
        raise ValueError(
            "diffusers samples a UNet with embedded guidance with its LCMScheduler only, received "
            f"{scheduler.kind} and the solver {config.solver}. {ONLY_OURS}"
        )
    check_asked_times(scheduler)
    if isinstance(network, GuidanceEmbeddingConfig):
        check_as_written(scheduler, LCM_PIPELINE)
    scheduler_document(scheduler)
    return scheduler


def check_asked_times(scheduler: Scheduler, network: str = "UNet") -> None:
    """**Raises** `ValueError` for one with which diffusers asks such a network at other times.

    EDM's is asked at `log(s) / 4`, and that of flow matching not at all.
    """
    if public_class(scheduler.kind).has_own_levels:
        raise ValueError(
            f"A {network} is not sampled with {scheduler.kind}: diffusers asks it at other times "
            f"than here, or not at all. Give another, `scheduler=Scheduler(...)`. {ONLY_OURS}"
        )


def check_as_written(scheduler: Scheduler, pipeline: str) -> None:
    """**Raises** `ValueError` for fields that are read as by `StableDiffusionPipeline` only.

    That pipeline sets `clip_sample` to false and `steps_offset` to 1; others take them as written.
    """
    settings = scheduler.settings() if scheduler.document else {}
    if settings.get("clip_sample"):
        raise ValueError(
            f"{pipeline} clips the sample to [-1, 1] in each step where the scheduler's file has "
            "clip_sample true, or DDIMScheduler or DDPMScheduler leaves it out, and this is not "
            'supported. Write "clip_sample": false into scheduler_config.json, or give another '
            "scheduler, `scheduler=Scheduler(...)`."
        )
    offset = settings.get("steps_offset", 1)
    leading = settings.get("timestep_spacing") == "leading"
    if leading and offset != 1 and scheduler.spacing != "lcm":
        raise ValueError(
            f"{pipeline} starts the spacing 'leading' at the scheduler's steps_offset, and only 1 "
            f'is supported, received {offset:g}. Write "steps_offset": 1 into '
            "scheduler_config.json, choose another spacing, or give another scheduler, "
            "`scheduler=Scheduler(...)`."
        )


def _lcm(config: ModelConfig, network: ConsistencyConfig) -> Scheduler:
    """LCM's scheduler for a consistency function.

    It takes the run's own levels where its spacing has them, with 50 or 100 times to choose from.
    """
    if network.boundary != "time" or config.solver != "consistency":
        raise ValueError(
            "diffusers samples a consistency function with its LCMScheduler only, whose boundary "
            f"is that of time and which draws fresh noise; received the boundary "
            f"{network.boundary!r} and the solver {config.solver!r}. {ONLY_OURS}"
        )
    own = dataclasses.replace(config.scheduler, spacing="trailing", ends_clean=True, document="")
    fields = json.loads(scheduler_document(dataclasses.replace(own, kind="DDIMScheduler")))
    fields |= {"_class_name": "LCMScheduler", "timestep_spacing": "leading"}
    fields["timestep_scaling"] = 10.0
    levels = config.scheduler.levels(config.sampling_steps, config.solver)
    candidates = [parse_scheduler(fields | {"original_inference_steps": n}) for n in (50, 100)]
    for candidate in candidates:
        try:
            if np.allclose(candidate.levels(config.sampling_steps), levels, rtol=1e-6):
                return candidate
        except ValueError:
            continue  # more steps than times to choose from
    return candidates[0]
