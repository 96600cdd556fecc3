"""The public schedulers that are sampled here: one line each, with the fields that they know.

A field that a file leaves out has its class's default. A value that is not supported is refused by
name, never ignored.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ..sampling.solvers import Ancestral, DDIM
from .scheduler_levels import Settings
from .scheduler_samplers import (
    by_level,
    ddim,
    ddpm,
    dpm_multistep,
    dpm_name,
    dpm_singlestep,
    heun,
    lcm,
    MakeSampling,
    pndm,
    unipc,
)

Defaults = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class PublicScheduler:
    """A class of diffusers."""

    make: MakeSampling
    """Its levels and solver."""
    sampler: str | Callable[[Settings], str]
    """Our name of the solver, in `SOLVERS`."""
    fields: Defaults
    """The fields that it knows and their defaults."""
    supported: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)
    """The values of its fields that are supported, beside those of `SUPPORTED`."""
    aliases: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    """Values that another class's file brings with it, and what this class takes for them."""
    refused: tuple[tuple[Mapping[str, Any], str], ...] = ()
    """Values that are refused together, and why."""


SUPPORTED: Mapping[str, tuple[Any, ...]] = {
    "beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2"),
    "prediction_type": ("epsilon", "v_prediction", "sample"),
    "timestep_spacing": ("leading", "linspace", "trailing"),
    "timestep_type": ("discrete",),
    "interpolation_type": ("linear", "log_linear"),
    "final_sigmas_type": ("zero", "sigma_min"),
    "solver_order": (1, 2, 3),
    "trained_betas": (None,),
    "thresholding": (False,),
    "use_exponential_sigmas": (False,),
    "use_beta_sigmas": (False,),
    "use_lu_lambdas": (False,),
    "use_flow_sigmas": (False,),
    "flow_shift": (1.0,),
    "use_dynamic_shifting": (False,),
    "time_shift_type": ("exponential",),
    "shift_terminal": (None,),
    "predict_x0": (True,),
    "disable_corrector": ([],),
    "solver_p": (None,),
}
"""Values that are supported in every class. Fields that are not here take any number or flag."""

WITHOUT_EFFECT = (
    *("clip_sample", "clip_sample_range", "steps_offset", "set_alpha_to_one", "skip_prk_steps"),
    *("sample_max_value", "dynamic_thresholding_ratio", "timestep_spacing"),
)
"""Fields that files carry over from another class, and a class that lacks them leaves out.

Stable Diffusion 2's and SD-Turbo's own files have some. A foreign field that is not here must have
a value that asks for nothing.
"""

_BETAS = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "prediction_type": "epsilon",
}
_LATENT_BETAS = _BETAS | {"beta_start": 0.00085, "beta_end": 0.012}
_LEADING = {"timestep_spacing": "leading", "steps_offset": 0}
_LINSPACE = {"timestep_spacing": "linspace", "steps_offset": 0}
_CLIP = {"clip_sample": True, "clip_sample_range": 1.0}
_THRESHOLD = {"thresholding": False, "dynamic_thresholding_ratio": 0.995, "sample_max_value": 1.0}
_ZERO_SNR = {"rescale_betas_zero_snr": False}
_KARRAS = {
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
}
_ENDS = {"sigma_min": None, "sigma_max": None}
_DDPM = _BETAS | _LEADING | _CLIP | _THRESHOLD | _ZERO_SNR
_MULTISTEP = {
    **_BETAS,
    **_THRESHOLD,
    **_KARRAS,
    **_ENDS,  # read from the file also where the class's signature lacks them
    "solver_order": 2,
    "lower_order_final": True,
    "use_flow_sigmas": False,
    "flow_shift": 1.0,
    "final_sigmas_type": "zero",
    "use_dynamic_shifting": False,
    "time_shift_type": "exponential",
}
_DPM = _MULTISTEP | {
    "algorithm_type": "dpmsolver++",
    "solver_type": "midpoint",
    "lambda_min_clipped": float("-inf"),
    "variance_type": None,
}
_DPM_VALUES = {"solver_type": ("midpoint",), "variance_type": (None,)}
_DPM_ALIASES = {
    "solver_type": dict.fromkeys(("logrho", "bh1", "bh2"), "midpoint"),
}
_NO_LENGTH = "the last step of the public grid has no length, and its result is rounding"

CLASSES: Mapping[str, PublicScheduler] = {
    "DDIMScheduler": PublicScheduler(ddim, "ddim", _DDPM | {"set_alpha_to_one": True}),
    "DDPMScheduler": PublicScheduler(
        ddpm,
        "ddpm",
        _DDPM | {"variance_type": "fixed_small"},
        {"variance_type": ("fixed_small", "fixed_small_log")},
    ),
    "PNDMScheduler": PublicScheduler(
        pndm,
        "plms",
        _BETAS | _LEADING | {"skip_prk_steps": False, "set_alpha_to_one": False},
        {"skip_prk_steps": (True,), "prediction_type": ("epsilon", "v_prediction")},
    ),
    "EulerDiscreteScheduler": PublicScheduler(
        by_level(DDIM),
        "euler",
        _BETAS
        | _LINSPACE
        | _KARRAS
        | _ENDS
        | _ZERO_SNR
        | {
            "interpolation_type": "linear",
            "timestep_type": "discrete",
            "final_sigmas_type": "zero",
        },
    ),
    "EulerAncestralDiscreteScheduler": PublicScheduler(
        by_level(Ancestral),
        "euler-ancestral",
        _BETAS | _LINSPACE | _ZERO_SNR,
        {"prediction_type": ("epsilon", "v_prediction")},
    ),
    "HeunDiscreteScheduler": PublicScheduler(
        heun,
        "heun",
        _LATENT_BETAS | _LINSPACE | _KARRAS | _ENDS | _CLIP | {"clip_sample": False},
    ),
    "DPMSolverMultistepScheduler": PublicScheduler(
        dpm_multistep,
        dpm_name,
        _DPM | _LINSPACE | _ZERO_SNR | {"euler_at_final": False, "use_lu_lambdas": False},
        _DPM_VALUES | {"algorithm_type": ("dpmsolver++", "sde-dpmsolver++")},
        _DPM_ALIASES,
        (
            (
                {"algorithm_type": "sde-dpmsolver++", "solver_order": 3},
                "there is no SDE-DPM-Solver++ of order 3 here",
            ),
            (
                {
                    "algorithm_type": "sde-dpmsolver++",
                    "use_karras_sigmas": True,
                    "final_sigmas_type": "sigma_min",
                },
                _NO_LENGTH,
            ),
            (
                {
                    "solver_order": 3,
                    "use_karras_sigmas": True,
                    "final_sigmas_type": "sigma_min",
                },
                _NO_LENGTH,
            ),
        ),
    ),
    "DPMSolverSinglestepScheduler": PublicScheduler(
        dpm_singlestep,
        lambda settings: "dpm++1" if settings["solver_order"] == 1 else "dpm++2s",
        _DPM | {"lower_order_final": False},
        _DPM_VALUES | {"algorithm_type": ("dpmsolver++",), "solver_order": (1, 2)},
        _DPM_ALIASES,
        (({"use_karras_sigmas": True, "final_sigmas_type": "sigma_min"}, _NO_LENGTH),),
    ),
    "UniPCMultistepScheduler": PublicScheduler(
        unipc,
        lambda settings: "unipc3" if settings["solver_order"] == 3 else "unipc2",
        _MULTISTEP
        | _LINSPACE
        | _ZERO_SNR
        | {
            "predict_x0": True,
            "solver_type": "bh2",
            "disable_corrector": [],
            "solver_p": None,
            "shift_terminal": None,
        },
        {"solver_type": ("bh2",), "solver_order": (2, 3)},
        {"solver_type": dict.fromkeys(("midpoint", "heun", "logrho"), "bh2")},
        (
            (
                {"lower_order_final": False, "final_sigmas_type": "zero"},
                "a last step of order 2 to level 0 is infinitely long, and the public result is "
                "not a number",
            ),
            ({"use_karras_sigmas": True, "final_sigmas_type": "sigma_min"}, _NO_LENGTH),
        ),
    ),
    "LCMScheduler": PublicScheduler(
        lcm,
        "consistency",
        {
            **_LATENT_BETAS,
            **_LEADING,
            **_CLIP,
            **_THRESHOLD,
            **_ZERO_SNR,
            "beta_schedule": "scaled_linear",
            "clip_sample": False,
            "set_alpha_to_one": True,
            "original_inference_steps": 50,
            "timestep_scaling": 10.0,
        },
    ),
}
"""By their names in diffusers. A class that is missing here is refused by name."""
