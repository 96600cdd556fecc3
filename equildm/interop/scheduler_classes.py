"""The public schedulers that are sampled here: one line each, with the fields that they know.

A field that a file leaves out has its class's default. A value that is not supported is refused by
name, never ignored.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ..sampling.solvers import Ancestral, DDIM, DPM2, Heun, LMS
from . import scheduler_fields as fields
from .scheduler_flow import edm_euler, edm_multistep, flow_euler, flow_heun
from .scheduler_levels import Settings, SPACINGS
from .scheduler_multistep import deis, dpm_multistep, dpm_name, dpm_singlestep, unipc
from .scheduler_samplers import by_level, ddim, ddpm, lcm, MakeSampling, near, pndm, tcd

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
    supported: Mapping[str, tuple[Any, ...] | None] = dataclasses.field(default_factory=dict)
    """The values of its fields that are supported, beside those of `fields.SUPPORTED`; None for any
    number."""
    aliases: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    """Values that another class's file brings with it, and what this class takes for them."""
    refused: tuple[tuple[Mapping[str, Any], str], ...] = ()
    """Values that are refused together, and why."""
    has_own_levels: bool = False
    """Whether its levels are for any solver, and follow from no spacing of a schedule's times."""


CLASSES: Mapping[str, PublicScheduler] = {
    "DDIMScheduler": PublicScheduler(ddim, "ddim", fields.DDPM | {"set_alpha_to_one": True}),
    "DDPMScheduler": PublicScheduler(
        ddpm,
        "ddpm",
        fields.DDPM | {"variance_type": "fixed_small"},
        {"variance_type": ("fixed_small", "fixed_small_log")},
    ),
    "PNDMScheduler": PublicScheduler(
        pndm,
        "plms",
        fields.BETAS | fields.LEADING | {"skip_prk_steps": False, "set_alpha_to_one": False},
        {"skip_prk_steps": (True,), "prediction_type": ("epsilon", "v_prediction")},
    ),
    "EulerDiscreteScheduler": PublicScheduler(
        by_level(DDIM),
        "euler",
        fields.BETAS
        | fields.LINSPACE
        | fields.KARRAS
        | fields.ENDS
        | fields.ZERO_SNR
        | {
            "interpolation_type": "linear",
            "timestep_type": "discrete",
            "final_sigmas_type": "zero",
        },
    ),
    "EulerAncestralDiscreteScheduler": PublicScheduler(
        by_level(Ancestral),
        "euler-ancestral",
        fields.BETAS | fields.LINSPACE | fields.ZERO_SNR,
        {"prediction_type": ("epsilon", "v_prediction")},
    ),
    "HeunDiscreteScheduler": PublicScheduler(
        near(Heun),
        "heun",
        fields.LATENT_BETAS
        | fields.LINSPACE
        | fields.KARRAS
        | fields.ENDS
        | fields.CLIP
        | {"clip_sample": False},
    ),
    "LMSDiscreteScheduler": PublicScheduler(
        by_level(LMS), "lms", fields.BETAS | fields.LINSPACE | fields.KARRAS
    ),
    "KDPM2DiscreteScheduler": PublicScheduler(
        near(DPM2),
        "dpm2",
        fields.LATENT_BETAS | fields.LINSPACE | fields.KARRAS | fields.ENDS,
        {"prediction_type": ("epsilon", "v_prediction")},
    ),
    "KDPM2AncestralDiscreteScheduler": PublicScheduler(
        near(lambda: Ancestral(solver=DPM2())),
        "dpm2-ancestral",
        fields.LATENT_BETAS | fields.LINSPACE | fields.KARRAS | fields.ENDS,
        {"prediction_type": ("epsilon", "v_prediction")},
    ),
    "DPMSolverMultistepScheduler": PublicScheduler(
        dpm_multistep,
        dpm_name,
        fields.DPM
        | fields.LINSPACE
        | fields.ZERO_SNR
        | {"euler_at_final": False, "use_lu_lambdas": False},
        fields.DPM_VALUES | {"algorithm_type": fields.DPM_PLUS_PLUS},
        fields.DPM_ALIASES,
        (
            ({"algorithm_type": "sde-dpmsolver++", "solver_order": 3}, fields.WRONG_ORDER_3),
            (
                {
                    "algorithm_type": "sde-dpmsolver++",
                    "use_karras_sigmas": True,
                    "final_sigmas_type": "sigma_min",
                },
                fields.NO_LENGTH,
            ),
            *(
                (
                    {"solver_order": 3, name: True, "final_sigmas_type": "sigma_min"},
                    fields.NO_LENGTH,
                )
                for name in SPACINGS
            ),
        ),
    ),
    "DPMSolverSinglestepScheduler": PublicScheduler(
        dpm_singlestep,
        lambda settings: "dpm++1" if settings["solver_order"] == 1 else "dpm++2s",
        fields.DPM | {"lower_order_final": False},
        fields.DPM_VALUES | {"algorithm_type": ("dpmsolver++",), "solver_order": (1, 2)},
        fields.DPM_ALIASES,
        (({"use_karras_sigmas": True, "final_sigmas_type": "sigma_min"}, fields.NO_LENGTH),),
    ),
    "UniPCMultistepScheduler": PublicScheduler(
        unipc,
        lambda settings: f"unipc{settings['solver_order']}",
        fields.MULTISTEP
        | fields.LINSPACE
        | fields.ZERO_SNR
        | {
            "predict_x0": True,
            "solver_type": "bh2",
            "disable_corrector": [],
            "solver_p": None,
            "shift_terminal": None,
        },
        {"solver_type": ("bh2", "bh1")},
        {"solver_type": dict.fromkeys(("midpoint", "heun", "logrho"), "bh2")},
        (
            (
                {"lower_order_final": False, "final_sigmas_type": "zero"},
                "a last step of order 2 to level 0 is infinitely long, and the public result is "
                "not a number",
            ),
            (
                {"solver_type": "bh1", "final_sigmas_type": "zero"},
                "the public B(h) = h of a last step to level 0 is infinite, and its result is not "
                "a number",
            ),
            *(
                ({name: True, "final_sigmas_type": "sigma_min"}, fields.NO_LENGTH)
                for name in SPACINGS
            ),
        ),
    ),
    "DEISMultistepScheduler": PublicScheduler(
        deis,
        lambda settings: (
            "ddim" if settings["solver_order"] == 1 else f"deis{settings['solver_order']}"
        ),
        {name: value for name, value in fields.MULTISTEP.items() if name != "final_sigmas_type"}
        | fields.LINSPACE
        | {"algorithm_type": "deis", "solver_type": "logrho"},
        {"algorithm_type": ("deis",), "solver_type": ("logrho",)},
        {
            "algorithm_type": dict.fromkeys(("dpmsolver", "dpmsolver++"), "deis"),
            "solver_type": dict.fromkeys(("midpoint", "heun", "bh1", "bh2"), "logrho"),
        },
    ),
    "LCMScheduler": PublicScheduler(lcm, "consistency", fields.LCM),
    "TCDScheduler": PublicScheduler(tcd, "tcd", fields.LCM),
    "FlowMatchEulerDiscreteScheduler": PublicScheduler(
        flow_euler,
        lambda settings: "consistency" if settings["stochastic_sampling"] else "ddim",
        fields.DYNAMIC_FLOW,
        fields.DYNAMIC_FLOW_VALUES,
        has_own_levels=True,
    ),
    "FlowMatchHeunDiscreteScheduler": PublicScheduler(
        flow_heun, "flow-heun", fields.FLOW, has_own_levels=True
    ),
    "EDMEulerScheduler": PublicScheduler(
        edm_euler, "ddim", fields.EDM, fields.EDM_VALUES, has_own_levels=True
    ),
    "EDMDPMSolverMultistepScheduler": PublicScheduler(
        edm_multistep,
        dpm_name,
        fields.EDM_DPM,
        fields.EDM_VALUES | fields.DPM_VALUES | {"algorithm_type": fields.DPM_PLUS_PLUS},
        fields.DPM_ALIASES,
        (
            ({"algorithm_type": "sde-dpmsolver++", "solver_order": 3}, fields.WRONG_ORDER_3),
            *(
                (values | {"final_sigmas_type": "sigma_min"}, fields.NO_LENGTH)
                for values in ({"algorithm_type": "sde-dpmsolver++"}, {"solver_order": 3})
            ),
        ),
        has_own_levels=True,
    ),
}
"""By their names in diffusers. A class that is missing here is refused by name."""
