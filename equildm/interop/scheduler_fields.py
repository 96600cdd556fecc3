"""The fields of the public schedulers with their defaults, and the values that are supported."""

from collections.abc import Mapping
from typing import Any

SUPPORTED: Mapping[str, tuple[Any, ...]] = {
    "beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2"),
    "prediction_type": ("epsilon", "v_prediction", "sample"),
    "timestep_spacing": ("leading", "linspace", "trailing"),
    "timestep_type": ("discrete",),
    "sigma_schedule": ("karras", "exponential"),
    "interpolation_type": ("linear", "log_linear"),
    "final_sigmas_type": ("zero", "sigma_min"),
    "solver_order": (1, 2, 3),
    "trained_betas": (None,),
    "thresholding": (False,),
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

BETAS = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "prediction_type": "epsilon",
}
LATENT_BETAS = BETAS | {"beta_start": 0.00085, "beta_end": 0.012}
LEADING = {"timestep_spacing": "leading", "steps_offset": 0}
LINSPACE = {"timestep_spacing": "linspace", "steps_offset": 0}
CLIP = {"clip_sample": True, "clip_sample_range": 1.0}
THRESHOLD = {"thresholding": False, "dynamic_thresholding_ratio": 0.995, "sample_max_value": 1.0}
ZERO_SNR = {"rescale_betas_zero_snr": False}
KARRAS = {
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
}
ENDS = {"sigma_min": None, "sigma_max": None}
DDPM = BETAS | LEADING | CLIP | THRESHOLD | ZERO_SNR
MULTISTEP = {
    **BETAS,
    **THRESHOLD,
    **KARRAS,
    **ENDS,  # read from the file also where the class's signature lacks them
    "solver_order": 2,
    "lower_order_final": True,
    "use_flow_sigmas": False,
    "flow_shift": 1.0,
    "final_sigmas_type": "zero",
    "use_dynamic_shifting": False,
    "time_shift_type": "exponential",
}
DPM = MULTISTEP | {
    "algorithm_type": "dpmsolver++",
    "solver_type": "midpoint",
    "lambda_min_clipped": float("-inf"),
    "variance_type": None,
}
DPM_VALUES = {"solver_type": ("midpoint",), "variance_type": (None,)}
DPM_PLUS_PLUS = ("dpmsolver++", "sde-dpmsolver++")
DPM_ALIASES = {
    "solver_type": dict.fromkeys(("logrho", "bh1", "bh2"), "midpoint"),
}
LCM = {
    **LATENT_BETAS,
    **LEADING,
    **CLIP,
    **THRESHOLD,
    **ZERO_SNR,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": True,
    "original_inference_steps": 50,
    "timestep_scaling": 10.0,
}
FLOW = {"num_train_timesteps": 1000, "shift": 1.0}
DYNAMIC_FLOW = {
    **FLOW,
    **KARRAS,
    "use_dynamic_shifting": False,
    "base_shift": 0.5,
    "max_shift": 1.15,
    "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
    "invert_sigmas": False,
    "shift_terminal": None,
    "time_shift_type": "exponential",
    "stochastic_sampling": False,
}
DYNAMIC_FLOW_VALUES: Mapping[str, tuple[Any, ...] | None] = {
    "use_dynamic_shifting": (False, True),
    "time_shift_type": ("exponential", "linear"),
    "shift_terminal": None,
    "invert_sigmas": (False,),
}
EDM = {
    "sigma_min": 0.002,
    "sigma_max": 80.0,
    "sigma_data": 0.5,
    "sigma_schedule": "karras",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "rho": 7.0,
    "final_sigmas_type": "zero",
}
EDM_VALUES = {"prediction_type": ("epsilon", "v_prediction")}
EDM_DPM = {
    **EDM,
    **THRESHOLD,
    "solver_order": 2,
    "algorithm_type": "dpmsolver++",
    "solver_type": "midpoint",
    "lower_order_final": True,
    "euler_at_final": False,
}
WRONG_ORDER_3 = "the public step of order 3 is missing or has a wrong sign"
NO_LENGTH = "the last step of the public grid has no length, and its result is rounding"
