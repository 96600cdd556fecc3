"""Our solvers give what the public schedulers give: same model, noise, levels, same final state.

The model on both sides is the exact denoiser of a Gaussian mixture. On our side all cases of a
solver run as one batch over padded grids. All but DDIM's and UniPC's are slow:
`tests/interop/test_scheduler_sweep.py` compares all classes in float32 in less time.
"""

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import others_slow
from jaxtyping import Array
from public_schedulers import (
    along,
    by_step,
    Case,
    cases,
    Inputs,
    MakeSolver,
    ours,
    public,
    SHAPE,
    SPACINGS,
    STEPS,
)

from equildm.sampling import (
    Ancestral,
    Consistency,
    DDIM,
    DPMpp2M,
    DPMpp2S,
    DPMpp3M,
    Heun,
    SDEDPMpp2M,
    UniPC,
)


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    rng = np.random.default_rng(0)
    return Inputs(
        noise=rng.normal(size=(1, *SHAPE)),
        fresh=rng.normal(size=(max(STEPS), 1, *SHAPE)),
        means=rng.normal(size=(3, *SHAPE)),
        stds=np.array([0.3, 0.45, 0.6]),
    )


def check(
    peer: Any,
    inputs: Inputs,
    runs: list[Case],
    solver: MakeSolver,
    *,
    run: Callable[..., Array] = along,
    join: Callable[[np.ndarray], np.ndarray] = lambda steps: steps,
    lower_final: Callable[[Case], bool] = lambda case: False,
) -> None:
    """Both in float64 to 1e-9 of the state's size, both in float32 to 1e-4.

    From the cosine schedule's level of 20,000 some public schedulers lose more than that to
    float32. Where theirs is that far from its own float64, ours in float32 is compared with the
    latter, from the same levels.
    """
    exact = public(peer, inputs, runs, double=True)
    rounded = public(peer, inputs, runs, double=False)
    with jax.enable_x64(True):
        finals = ours(inputs, runs, exact, solver, run, join, lower_final, "float64")
    for case, answer, final in zip(runs, exact, finals, strict=True):
        assert answer["final"].dtype == final.dtype == "float64"
        assert difference(final, answer["final"]) < 1e-9, case

    finals = ours(inputs, runs * 2, rounded + exact, solver, run, join, lower_final, "float32")
    for i, case in enumerate(runs):
        theirs, truth = rounded[i]["final"], exact[i]["final"]
        assert theirs.dtype == finals.dtype == "float32"
        if difference(theirs, truth) < 1e-4:
            assert difference(finals[i], theirs) < 1e-4, case
        else:
            assert difference(finals[len(runs) + i], truth) < 1e-4, case


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference over the largest value, infinite at a NaN."""
    error = np.abs(a - b).max() / np.abs(b).max()
    return float(np.where(np.isnan(error), np.inf, error))


@pytest.mark.peer
@pytest.mark.parametrize("eta", others_slow([0.0, 0.3, 1.0], 0.0))
def test_ddim(peer: Any, inputs: Inputs, eta: float) -> None:
    variants = ({}, {"steps_offset": 1, "set_alpha_to_one": False})
    runs = cases("DDIMScheduler", variants[:1], clip_sample=False)
    runs += cases("DDIMScheduler", variants[1:], spacings=("leading",), clip_sample=False)
    runs = [case | {"step": {"eta": eta}} for case in runs]
    solver = DDIM() if eta == 0 else Ancestral(eta)
    check(peer, inputs, runs, lambda *_: solver, run=by_step)


@pytest.mark.slow
@pytest.mark.peer
def test_ddpm(peer: Any, inputs: Inputs) -> None:
    runs = cases("DDPMScheduler", clip_sample=False)
    check(peer, inputs, runs, lambda *_: Ancestral())


@pytest.mark.slow
@pytest.mark.peer
def test_euler(peer: Any, inputs: Inputs) -> None:
    check(peer, inputs, cases("EulerDiscreteScheduler"), lambda *_: DDIM())


@pytest.mark.slow
@pytest.mark.peer
def test_euler_of_diffrax(peer: Any, inputs: Inputs) -> None:
    def run(oracle: Any, solver: Any, steps: Array, noise: Array, fresh: Array) -> Array:
        y = along(oracle, solver, steps, noise, fresh)
        return oracle(y, jnp.min(jnp.where(steps[0] > 0, steps[0], jnp.inf)))

    runs = cases("EulerDiscreteScheduler", every=False, beta_schedule="scaled_linear")
    check(peer, inputs, runs, lambda *_: diffrax.Euler(), run=run)


@pytest.mark.slow
@pytest.mark.peer
def test_euler_ancestral(peer: Any, inputs: Inputs) -> None:
    check(peer, inputs, cases("EulerAncestralDiscreteScheduler"), lambda *_: Ancestral())


@pytest.mark.slow
@pytest.mark.peer
def test_heun(peer: Any, inputs: Inputs) -> None:
    # From the cosine schedule's levels far above the data, ours takes steps of order 1.
    spacings = (*SPACINGS, "karras")
    runs = cases("HeunDiscreteScheduler", spacings=spacings, beta_schedule="scaled_linear")
    # Each level but the first and the last is met twice.
    once = lambda steps: np.stack([steps[0, ::2], np.append(steps[1, :-1:2], steps[1, -1])])
    check(peer, inputs, runs, lambda *_: Heun(), join=once)


FINALS = (
    {"lower_order_final": True, "final_sigmas_type": "zero"},
    {"lower_order_final": False, "final_sigmas_type": "zero"},
    {"lower_order_final": True, "final_sigmas_type": "sigma_min"},
    {"lower_order_final": False, "final_sigmas_type": "sigma_min"},
)


@pytest.mark.slow
@pytest.mark.peer
@pytest.mark.parametrize(
    "solver, order",
    [
        (lambda first, second: DDIM(), 1),
        (lambda first, second: DPMpp2M(first), 2),
        (lambda first, second: DPMpp3M(True, first, second), 3),
    ],
    ids=["1", "2M", "3M"],
)
def test_dpm_multistep(peer: Any, inputs: Inputs, solver: MakeSolver, order: int) -> None:
    runs = cases(
        "DPMSolverMultistepScheduler",
        FINALS,
        spacings=(*SPACINGS, "karras"),
        every=False,
        solver_order=order,
    )
    few = lambda case: case["options"]["lower_order_final"] and case["steps"] < 15
    check(peer, inputs, runs, solver, lower_final=few)


@pytest.mark.slow
@pytest.mark.peer
def test_sde_dpm_2m(peer: Any, inputs: Inputs) -> None:
    runs = cases(
        "DPMSolverMultistepScheduler",
        FINALS,
        spacings=(*SPACINGS, "karras"),
        every=False,
        algorithm_type="sde-dpmsolver++",
    )
    # There the public grid repeats its last level, and the noise of that step is rounding only.
    repeated = {"use_karras_sigmas": True, "final_sigmas_type": "sigma_min"}.items()
    runs = [case for case in runs if not repeated <= case["options"].items()]
    few = lambda case: case["options"]["lower_order_final"] and case["steps"] < 15
    check(peer, inputs, runs, lambda first, second: SDEDPMpp2M(first), lower_final=few)


@pytest.mark.peer
@pytest.mark.parametrize("order", [3, pytest.param(2, marks=pytest.mark.slow)])
def test_unipc(peer: Any, inputs: Inputs, order: int) -> None:
    # It has no way to end at 0 without lowering the order.
    finals = (FINALS[0], *FINALS[2:])
    runs = cases("UniPCMultistepScheduler", finals, every=False, solver_order=order)
    runs += cases("UniPCMultistepScheduler", finals[:1], spacings=("karras",), solver_order=order)
    lowered = lambda case: case["options"]["lower_order_final"]
    check(peer, inputs, runs, partial(UniPC, order), lower_final=lowered)


@pytest.mark.slow
@pytest.mark.peer
def test_dpm_2s(peer: Any, inputs: Inputs) -> None:
    runs = []
    for steps, ends_clean in product((1, 2, 3, 4, 10, 11, 50), (True, False)):
        if ends_clean == (steps % 2 == 0):
            continue  # the public order list pairs the steps up, but for a last one to 0
        sigmas = np.geomspace(14.6146, 0.0292, steps if ends_clean else steps + 1)
        final = {"final_sigmas_type": "zero", "lower_order_final": True}
        if not ends_clean:
            final = {"final_sigmas_type": "sigma_min", "lower_order_final": False}
        case = cases("DPMSolverSinglestepScheduler", spacings=("",), **final)[0]
        sigmas = np.append(sigmas, 0.0) if ends_clean else sigmas
        runs.append(case | {"steps": steps, "sigmas": list(sigmas)})
    pairs = lambda steps: np.stack(
        [steps[0, ::2], np.append(steps[1, 1::2], steps[1, -1:])[: len(steps[0, ::2])]]
    )
    check(peer, inputs, runs, lambda *_: DPMpp2S(), join=pairs)


@pytest.mark.slow
@pytest.mark.peer
def test_consistency(peer: Any, inputs: Inputs) -> None:
    # So large a scaling that the boundary condition (c_skip, c_out), which belongs to the model on
    # our side, leaves the clean estimate as it is.
    runs = cases("LCMScheduler", spacings=("leading",), timestep_scaling=1e9, clip_sample=False)
    check(peer, inputs, runs, lambda *_: Consistency())
