"""The files of schedulers that `benchmarks/scheduler_parity.py` compares, value by value."""

import dataclasses
import itertools
from collections.abc import Iterable
from typing import Any

from equildm.interop.scheduler_classes import CLASSES

IMAGE_TOKENS = 1024
"""Patches of the image, for dynamic shifts."""
STEPS = (1, 3, 7, 10, 15, 30)

Fields = dict[str, Any]
BASE: Fields = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
ZERO_SNR = {"rescale_betas_zero_snr": True}
SPACINGS: tuple[Fields, ...] = (
    {},
    *({"timestep_spacing": name} for name in ("leading", "linspace", "trailing")),
)
VALUES: tuple[Fields, ...] = (
    {},
    {"steps_offset": 1},
    {"steps_offset": 0, "clip_sample": True},
    {"set_alpha_to_one": False},
    {"skip_prk_steps": True},
    {"prediction_type": "v_prediction"},
    {"prediction_type": "sample"},
    ZERO_SNR,
    ZERO_SNR | {"prediction_type": "v_prediction"},
    ZERO_SNR | {"prediction_type": "sample"},
    {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"},
    {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"},
    {"trained_betas": [0.001] * 1000},
    {"thresholding": True},
    *({"variance_type": name} for name in ("fixed_small_log", "fixed_large", "learned_range")),
    *({"interpolation_type": name} for name in ("linear", "log_linear")),
    {"interpolation_type": "log_linear", "final_sigmas_type": "sigma_min"},
    {"interpolation_type": "log_linear", "use_karras_sigmas": True},
    {"timestep_type": "continuous"},
    {"use_karras_sigmas": True},
    {"use_karras_sigmas": True, "final_sigmas_type": "sigma_min"},
    {"use_karras_sigmas": True, "sigma_min": 0.1, "sigma_max": 10.0},
    {"sigma_min": 0.1, "sigma_max": 10.0},
    *({f"use_{name}": True} for name in ("exponential_sigmas", "beta_sigmas", "flow_sigmas")),
    {"use_lu_lambdas": True},
    {"final_sigmas_type": "sigma_min"},
    {"euler_at_final": True, "final_sigmas_type": "sigma_min"},
    {"lambda_min_clipped": -1.5},
    {"lambda_min_clipped": -5.1, "beta_schedule": "squaredcos_cap_v2"},
    {"solver_type": "bh1", "final_sigmas_type": "sigma_min"},
    {"use_exponential_sigmas": True, "sigma_min": 0.1, "sigma_max": 10.0},
    {"use_beta_sigmas": True, "final_sigmas_type": "sigma_min"},
    {"use_beta_sigmas": True, "use_karras_sigmas": True},
    *({"solver_type": name} for name in ("midpoint", "heun", "logrho", "bh1", "bh2")),
    {"predict_x0": False},
    {"disable_corrector": [0]},
    *({"original_inference_steps": n} for n in (30, 100, 1000)),
    {"timestep_scaling": 1.0},
    {"shift": 3.0},
    {"shift": 3.0, "use_karras_sigmas": True},
    {"use_dynamic_shifting": True},
    {"use_dynamic_shifting": True, "time_shift_type": "linear", "use_beta_sigmas": True},
    {"use_dynamic_shifting": True, "shift_terminal": 0.1},
    {"stochastic_sampling": True, "shift": 3.0},
    {"invert_sigmas": True},
    {"sigma_schedule": "exponential", "sigma_data": 1.0, "prediction_type": "v_prediction"},
    {"sigma_schedule": "exponential", "final_sigmas_type": "sigma_min"},
    {"rho": 5.0, "sigma_min": 0.01, "sigma_max": 20.0},
    {"no_scheduler_has_this": 1},
)
ORDERS = (1, 2, 3)
ALGORITHMS = ("dpmsolver++", "sde-dpmsolver++", "dpmsolver", "sde-dpmsolver", "deis")
SOLVERS: tuple[Fields, ...] = tuple(
    {
        "solver_order": order,
        "algorithm_type": algorithm,
        "lower_order_final": lowered,
        "final_sigmas_type": final,
        **({"use_karras_sigmas": True} if is_karras else {}),
    }
    for order, algorithm, lowered, final, is_karras in itertools.product(
        ORDERS, ALGORITHMS, (True, False), ("zero", "sigma_min"), (False, True)
    )
)
"""All combinations, for the classes that have an order."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A file and a number of steps."""

    document: Fields
    steps: int

    def __str__(self) -> str:
        shown = {k: v for k, v in self.document.items() if BASE.get(k) != v}
        return f"{shown.pop('_class_name')}, {self.steps} steps, {shown}"


def all_cases(classes: Iterable[str], steps: Iterable[int] = STEPS) -> list[Case]:
    """Every class with every value."""
    cases = []
    for kind in classes:
        has_order = kind in CLASSES and "solver_order" in CLASSES[kind].fields
        values = [*VALUES, *SOLVERS] if has_order else VALUES
        for spacing, fields in itertools.product(SPACINGS, values if kind in CLASSES else ({},)):
            document = {"_class_name": kind} | BASE | spacing | fields
            cases += [Case(document, n) for n in steps]
    return cases
