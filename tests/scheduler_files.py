"""Files of schedulers, as public models have them."""

from equildm.interop import Scheduler
from equildm.interop.scheduler_file import parse_scheduler

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
OWN_FILES = {
    "Stable Diffusion 2": {
        "_class_name": "DDIMScheduler",
        "_diffusers_version": "0.8.0",
        "clip_sample": False,
        "num_train_timesteps": 1000,
        "prediction_type": "v_prediction",
        "steps_offset": 1,
        "set_alpha_to_one": False,
        "skip_prk_steps": True,
        "trained_betas": None,
    },
    "SD-Turbo": {
        "_class_name": "EulerDiscreteScheduler",
        "_diffusers_version": "0.24.0.dev0",
        "clip_sample": False,
        "interpolation_type": "linear",
        "num_train_timesteps": 1000,
        "prediction_type": "epsilon",
        "sample_max_value": 1.0,
        "set_alpha_to_one": False,
        "sigma_max": None,
        "skip_prk_steps": True,
        "steps_offset": 1,
        "timestep_spacing": "trailing",
        "timestep_type": "discrete",
        "trained_betas": None,
    },
    "Stable Diffusion 3": {
        "_class_name": "FlowMatchEulerDiscreteScheduler",
        "_diffusers_version": "0.29.0.dev0",
        "num_train_timesteps": 1000,
        "shift": 3.0,
    },
    "Playground 2.5": {
        "_class_name": "EDMDPMSolverMultistepScheduler",
        "_diffusers_version": "0.27.0.dev0",
        "algorithm_type": "dpmsolver++",
        "dynamic_thresholding_ratio": 0.995,
        "euler_at_final": False,
        "final_sigmas_type": "zero",
        "lower_order_final": True,
        "num_train_timesteps": 1000,
        "prediction_type": "epsilon",
        "rho": 7.0,
        "sample_max_value": 1.0,
        "sigma_data": 0.5,
        "sigma_max": 80.0,
        "sigma_min": 0.002,
        "solver_order": 2,
        "solver_type": "midpoint",
        "thresholding": False,
    },
}
FLOW = "FlowMatchEulerDiscreteScheduler"


def read(kind: str, **fields: object) -> Scheduler:
    """The scheduler of a class with Stable Diffusion's fields, and these."""
    return parse_scheduler({"_class_name": kind} | SD | fields)
