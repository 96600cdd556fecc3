"""Our solvers give what the public schedulers give: same model, noise, levels, same final state.

The model on both sides is the exact denoiser of a Gaussian mixture. On our side all cases of a
solver run as one batch over padded grids.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, product
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array
from oracle import GaussianMixture

from equildm.sampling import (
    Ancestral,
    Consistency,
    DDIM,
    DPMpp2M,
    DPMpp2S,
    DPMpp3M,
    Heun,
    needs_key,
    reverse_sde,
    SDEDPMpp2M,
    solve,
    StepGrid,
    UniPC,
)

STEPS = (1, 2, 3, 4, 10, 20, 50)
SPACINGS = ("leading", "linspace", "trailing")
SHAPE = (4, 2, 2)

Case = dict[str, Any]
MakeSolver = Callable[[Array, Array], diffrax.AbstractSolver]


class Inputs(NamedTuple):
    """One batch element of noise to start from, fresh noise for each step, and the mixture."""

    noise: np.ndarray
    fresh: np.ndarray
    means: np.ndarray
    stds: np.ndarray


class HandedOver(diffrax.AbstractPath):
    """The Brownian path that has prescribed unit noise in each step of a grid."""

    levels: Array
    fresh: Array
    t0 = 0.0
    t1 = np.inf

    def evaluate(self, t0: Array, t1: Array | None = None, left: bool = True) -> Array:
        assert t1 is not None
        z = self.fresh[jnp.sum(self.levels > t1)]
        return -z * jnp.sqrt(t1 - t0)  # an increment of rising time, which sampling runs down


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    rng = np.random.default_rng(0)
    return Inputs(
        noise=rng.normal(size=(1, *SHAPE)),
        fresh=rng.normal(size=(max(STEPS), 1, *SHAPE)),
        means=rng.normal(size=(3, *SHAPE)),
        stds=np.array([0.3, 0.45, 0.6]),
    )


def cases(
    scheduler: str,
    variants: tuple[dict[str, Any], ...] = ({},),
    *,
    spacings: tuple[str, ...] = SPACINGS,
    every: bool = True,
    **options: Any,
) -> list[Case]:
    """All steps and spacings, with every prediction and schedule, or else one of these in turn."""
    models = list(product(("epsilon", "v_prediction"), ("scaled_linear", "squaredcos_cap_v2")))
    turn: Iterator[int] = count()
    runs = []
    for variant, steps, spacing in product(variants, STEPS, spacings):
        for prediction, betas in models if every else [models[next(turn) % len(models)]]:
            chosen = {"use_karras_sigmas": True} if spacing == "karras" else {}
            if spacing in SPACINGS:
                chosen = {"timestep_spacing": spacing}
            basic = {
                "beta_start": 0.00085,
                "beta_end": 0.012,
                "beta_schedule": betas,
                "prediction_type": prediction,
            }
            runs.append(
                {
                    "scheduler": scheduler,
                    "steps": steps,
                    "options": basic | chosen | variant | options,
                }
            )
    return runs


def public(peer: Any, inputs: Inputs, runs: list[Case], *, double: bool) -> list[dict[str, Any]]:
    """What the public schedulers answer to each case."""
    out = peer("schedulers", {"cases": [c | {"double": double} for c in runs]}, **inputs._asdict())
    names = ("final", "start", "stop")
    return [{name: out[f"{i}/{name}"] for name in names} for i in range(len(runs))]


def along(oracle: Any, solver: Any, steps: Array, noise: Array, fresh: Array) -> Array:
    """The grid in one solve. `steps` has a row of starts and a row of stops."""
    start, stop = steps
    last = jnp.sum(start > 0) - 1
    grid = jnp.where(jnp.arange(len(start) + 1) > last, stop[last], jnp.append(start, 0))
    y = noise * jnp.sqrt(1 + grid[0] ** 2)
    if not needs_key(solver):
        return solve(oracle, y, grid, solver).ys[-1]
    solution = diffrax.diffeqsolve(
        reverse_sde(oracle, HandedOver(grid, fresh)),
        solver,
        grid[0],
        grid[-1],
        None,
        y,
        stepsize_controller=StepGrid(grid),
        throw=False,
    )
    return solution.ys[-1]


def by_step(oracle: Any, solver: Any, steps: Array, noise: Array, fresh: Array) -> Array:
    """One solve for each step, for the public schedulers that do not go on from where they stop.

    They step to the time `1000 / steps` earlier, whatever the next time of their grid is, and
    carry over x, not y.
    """

    def body(carry: tuple[Array, Array], step: Any) -> tuple[tuple[Array, Array], None]:
        x, level = carry
        s0, s1, z = step
        y = along(oracle, solver, jnp.stack([s0, s1])[:, None], x, z[None])
        real = s0 > 0
        return (jnp.where(real, y / jnp.sqrt(1 + s1**2), x), jnp.where(real, s1, level)), None

    (x, level), _ = jax.lax.scan(body, (noise, steps[0, 0]), (*steps, fresh))
    return x * jnp.sqrt(1 + level**2)


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


def ours(
    inputs: Inputs,
    runs: list[Case],
    theirs: list[dict[str, Any]],
    solver: MakeSolver,
    run: Callable[..., Array],
    join: Callable[[np.ndarray], np.ndarray],
    lower_final: Callable[[Case], bool],
    dtype: str,
) -> np.ndarray:
    """The final states of all cases, from the levels that the public schedulers tell."""
    oracle = GaussianMixture(jnp.asarray(inputs.means, dtype), jnp.asarray(inputs.stds, dtype))
    noise, fresh = jnp.asarray(inputs.noise[0], dtype), jnp.asarray(inputs.fresh[:, 0], dtype)
    steps = [join(np.stack([answer["start"], answer["stop"]])) for answer in theirs]
    ends = [
        last_levels(row) if lower_final(case) else np.zeros(2) for case, row in zip(runs, steps)
    ]
    padded = [np.pad(row, ((0, 0), (0, max(STEPS) - row.shape[1]))) for row in steps]

    @jax.jit
    @jax.vmap
    def batch(row: Array, end: Array) -> Array:
        return run(oracle, solver(end[1], end[0]), row, noise, fresh)

    return np.asarray(batch(*(jnp.asarray(np.stack(x), dtype) for x in (padded, ends))))


def last_levels(steps: np.ndarray) -> np.ndarray:
    """The last level but one and the last. Of a last step of no length, the last and none."""
    start, stop = steps
    if stop[-1] > start[-1] * (1 - 1e-4):
        return np.array([stop[-1], 0])
    return np.append(start[:1], stop)[-2:]


@pytest.mark.peer
@pytest.mark.parametrize("eta", [0.0, 0.3, pytest.param(1.0, marks=pytest.mark.slow)])
def test_ddim(peer: Any, inputs: Inputs, eta: float) -> None:
    variants = ({}, {"steps_offset": 1, "set_alpha_to_one": False})
    runs = cases("DDIMScheduler", variants[:1], clip_sample=False)
    runs += cases("DDIMScheduler", variants[1:], spacings=("leading",), clip_sample=False)
    runs = [case | {"step": {"eta": eta}} for case in runs]
    solver = DDIM() if eta == 0 else Ancestral(eta)
    check(peer, inputs, runs, lambda *_: solver, run=by_step)


@pytest.mark.peer
def test_ddpm(peer: Any, inputs: Inputs) -> None:
    runs = cases("DDPMScheduler", clip_sample=False)
    check(peer, inputs, runs, lambda *_: Ancestral())


@pytest.mark.peer
def test_euler(peer: Any, inputs: Inputs) -> None:
    check(peer, inputs, cases("EulerDiscreteScheduler"), lambda *_: DDIM())


@pytest.mark.peer
def test_euler_of_diffrax(peer: Any, inputs: Inputs) -> None:
    def run(oracle: Any, solver: Any, steps: Array, noise: Array, fresh: Array) -> Array:
        y = along(oracle, solver, steps, noise, fresh)
        return oracle(y, jnp.min(jnp.where(steps[0] > 0, steps[0], jnp.inf)))

    runs = cases("EulerDiscreteScheduler", every=False, beta_schedule="scaled_linear")
    check(peer, inputs, runs, lambda *_: diffrax.Euler(), run=run)


@pytest.mark.peer
def test_euler_ancestral(peer: Any, inputs: Inputs) -> None:
    check(peer, inputs, cases("EulerAncestralDiscreteScheduler"), lambda *_: Ancestral())


@pytest.mark.peer
def test_heun(peer: Any, inputs: Inputs) -> None:
    runs = cases("HeunDiscreteScheduler", spacings=(*SPACINGS, "karras"))
    # Each level but the first and the last is met twice.
    once = lambda steps: np.stack([steps[0, ::2], np.append(steps[1, :-1:2], steps[1, -1])])
    check(peer, inputs, runs, lambda *_: Heun(), join=once)


FINALS = (
    {"lower_order_final": True, "final_sigmas_type": "zero"},
    {"lower_order_final": False, "final_sigmas_type": "zero"},
    {"lower_order_final": True, "final_sigmas_type": "sigma_min"},
    {"lower_order_final": False, "final_sigmas_type": "sigma_min"},
)


@pytest.mark.peer
@pytest.mark.parametrize(
    "solver, order",
    [
        pytest.param(lambda first, second: DDIM(), 1, marks=pytest.mark.slow),
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


@pytest.mark.peer
def test_consistency(peer: Any, inputs: Inputs) -> None:
    # So large a scaling that the boundary condition (c_skip, c_out), which belongs to the model on
    # our side, leaves the clean estimate as it is.
    runs = cases("LCMScheduler", spacings=("leading",), timestep_scaling=1e9, clip_sample=False)
    check(peer, inputs, runs, lambda *_: Consistency())
