"""How fast deterministic samplers converge, fitted on an exact denoiser in float64."""

from functools import cache, partial
from typing import Any, NamedTuple

import diffrax
import jax
import numpy as np
import pytest
from helpers import called
from jaxtyping import Array
from oracle import ExactNetwork, mixture
from scipy.integrate import solve_ivp

from equildm.denoise import Preconditioned
from equildm.noise import (
    AbstractPrediction,
    AbstractSchedule,
    EDMPrediction,
    EDMSchedule,
    FlowVelocity,
    grids,
    RectifiedFlow,
)
from equildm.sampling import (
    DDIM,
    DEIS,
    DPM2,
    DPMpp2M,
    DPMpp2S,
    DPMpp3M,
    FlowHeun,
    HalfLogSNR,
    Heun,
    Level,
    LMS,
    solve,
    UniPC,
)
from equildm.sampling.solvers.exponential import moments
from equildm.sampling.solvers.lms import adams_weights

HIGH, LOW = 14.0, 0.03


class Process(NamedTuple):
    """A schedule, what its network predicts, and the levels of a number of its times."""

    schedule: AbstractSchedule
    prediction: AbstractPrediction
    high: float
    low: float

    def grid(self, count: int) -> np.ndarray:
        """From `high` to `low`, of times that are even."""
        ends = [float(self.schedule.time(level)) for level in (self.high, self.low)]
        levels = self.schedule.levels_at(np.linspace(*ends, count))
        return np.concatenate([[self.high], levels[1:-1], [self.low]])


PROCESSES = {
    "flow": Process(RectifiedFlow(), FlowVelocity(), HIGH, 0.3),
    "edm": Process(EDMSchedule(0.7), EDMPrediction(0.7), HIGH, LOW),
}


@cache
def noise() -> np.ndarray:
    """Where all solves start, in float64."""
    return np.asarray(jax.random.normal(jax.random.key(0), (2, 2, 1), float))


LENGTH = 257
"""Of all grids, padded: each solver is compiled once."""


@cache
def compiled(solver: Any, time: Any, process: Process | None) -> Any:
    """`(y, levels) -> state at the last level`."""
    denoiser: Any = mixture()
    if process is not None:
        network = ExactNetwork(denoiser, process.schedule, process.prediction)
        denoiser = Preconditioned(network, process.schedule, process.prediction)
    return jax.jit(lambda y, levels: solve(denoiser, y, levels, solver, time=time).ys[-1])


def errors(
    solver: Any,
    steps: tuple[int, ...],
    time: Any = None,
    process: Process | None = None,
) -> np.ndarray:
    """Largest error at the lowest level, on grids of equal steps in lambda or of a process."""
    grid, high, low = partial(np.geomspace, HIGH, LOW), HIGH, LOW
    if process is not None:
        grid, high, low = process.grid, process.high, process.low
    run, exact = compiled(solver, time, process), exact_end(high, low)
    ends = [run(high * noise(), grids.pad(grid(n + 1), LENGTH)) for n in steps]
    return np.array([np.abs(np.asarray(end) - exact).max() for end in ends])


@cache
def exact_end(high: float, low: float) -> np.ndarray:
    """Where the flow leads from `errors`' start, by scipy: in numpy, with a solver not ours."""
    oracle = jax.device_get(mixture())
    means, widths = oracle.means.reshape(len(oracle.means), -1), oracle.stds**2

    def flow(t: float, y: np.ndarray) -> np.ndarray:
        """`D - y` at the level `exp(-t)`."""
        variances = widths + np.exp(-2 * t)
        joint = -0.5 * ((y - means) ** 2).sum(1) / variances - 0.5 * y.size * np.log(variances)
        weights = np.exp(joint - joint.max())
        shrink = (widths / variances)[:, None]
        return weights / weights.sum() @ (means + shrink * (y - means)) - y

    ends = -np.log(high), -np.log(low)
    end = solve_ivp(flow, ends, high * noise().ravel(), "DOP853", rtol=1e-13, atol=1e-14)
    return end.y[:, -1].reshape((2, 2, 1))


def solver_name(value: object) -> str | None:
    """A test's name."""
    return type(value).__name__ if hasattr(value, "order") else None


ORDERS = [
    (DDIM(), None, 1, (32, 64, 128)),
    pytest.param(diffrax.Euler(), None, 1, (32, 64, 128), marks=pytest.mark.slow),
    (DPMpp2M(), None, 2, (32, 64, 128)),
    # `test_k_diffusion.py` has its step by the published loop.
    pytest.param(DPMpp2S(), None, 2, (32, 64, 128), marks=pytest.mark.slow),
    (Heun(), None, 2, (64, 128, 256)),
    pytest.param(FlowHeun(), None, 2, (64, 128, 256), marks=pytest.mark.slow),
    pytest.param(diffrax.Heun(), None, 2, (64, 128, 256), marks=pytest.mark.slow),
    pytest.param(diffrax.Heun(), HalfLogSNR(), 2, (64, 128, 256), marks=pytest.mark.slow),
    # Its first two steps are of order 1 and 2. That they cost order on still finer grids shows
    # only where D hardly changes over the first step; here the third order lasts to 64 steps.
    (DPMpp3M(), None, 3, (16, 32, 64)),
    pytest.param(DPMpp3M(as_published=True), None, 2, (32, 64, 128), marks=pytest.mark.slow),
    pytest.param(DEIS(2), None, 2, (32, 64, 128), marks=pytest.mark.slow),
    (DEIS(3), None, 3, (16, 32, 64)),
    pytest.param(DPM2(), None, 2, (32, 64, 128), marks=pytest.mark.slow),
    pytest.param(LMS(1), None, 1, (32, 64, 128), marks=pytest.mark.slow),
    pytest.param(LMS(2), None, 2, (64, 128, 256), marks=pytest.mark.slow),
    # Its weights integrate polynomials exactly, below.
    pytest.param(LMS(3), None, 3, (64, 128, 256), marks=pytest.mark.slow),
    # The corrector adds one to the order of the predictor.
    pytest.param(UniPC(1), None, 2, (32, 64, 128), marks=pytest.mark.slow),
    pytest.param(UniPC(2), None, 3, (32, 64, 128), marks=pytest.mark.slow),
    pytest.param(UniPC(2, variant="bh1"), None, 3, (32, 64, 128), marks=pytest.mark.slow),
    (UniPC(3), None, 4, (32, 64, 128)),
    pytest.param(diffrax.Tsit5(), HalfLogSNR(), 5, (16, 32, 64), marks=pytest.mark.slow),
    pytest.param(diffrax.Dopri5(), HalfLogSNR(), 5, (16, 32, 64), marks=pytest.mark.slow),
]


@pytest.mark.parametrize(
    "solver, time, order, steps",
    ORDERS,
    ids=lambda value: type(value).__name__ if hasattr(value, "order") else None,
)
def test_order(solver: Any, time: Any, order: int, steps: tuple[int, ...]) -> None:
    with jax.enable_x64(True):
        values = errors(solver, steps, time)
    slope = -np.polyfit(np.log(steps), np.log(values), 1)[0]
    assert abs(slope - order) < 0.35, (slope, values)


@pytest.mark.slow  # each order is fitted quickly above
@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize(
    "solver, time, order, steps",
    ORDERS,
    ids=lambda value: type(value).__name__ if hasattr(value, "order") else None,
)
def test_order_along_the_times_of_a_process(
    process: str, solver: Any, time: Any, order: int, steps: tuple[int, ...]
) -> None:
    """Around a network that predicts as flow matching's or EDM's does, exactly.

    In even times of flow matching the first step is long in lambda, so that of a multistep solver,
    which begins with order 1, no more than order 2 is sure.
    """
    with jax.enable_x64(True):
        values = errors(solver, steps, time, PROCESSES[process])
    slope = -np.polyfit(np.log(steps), np.log(values), 1)[0]
    begins_lower = process == "flow" and isinstance(solver, DPMpp3M | DEIS | LMS)
    lowest = min(order, 2) if begins_lower else order
    assert lowest - 0.35 < slope < order + 0.6, (slope, values)


def test_ddim_is_eulers_method() -> None:
    with jax.enable_x64(True):
        grid = grids.pad(np.geomspace(HIGH, LOW, 21), LENGTH)
        start = HIGH * noise()
        ours, eulers = (compiled(s, None, None) for s in (DDIM(), diffrax.Euler()))
        np.testing.assert_allclose(ours(start, grid), eulers(start, grid), rtol=1e-12)


@pytest.mark.parametrize("time", [Level(), HalfLogSNR()])
def test_what_a_tolerance_buys(time: Any) -> None:
    """Adaptive steps: errors follow the tolerance, evaluations grow slowly."""
    with jax.enable_x64(True):
        oracle, y, ends = mixture(), jax.device_put(HIGH * noise()), np.array([HIGH, LOW])

        @jax.jit
        def run(tolerance: Array) -> tuple[Array, Array]:
            control = diffrax.PIDController(rtol=tolerance, atol=tolerance)
            solution = solve(
                oracle, y, ends, diffrax.Tsit5(), controller=control, time=time, throw=True
            )
            return solution.ys[-1], solution.stats["num_steps"]

        results = [run(np.float64(tolerance)) for tolerance in (1e-3, 1e-5, 1e-7, 1e-12)]
    exact, most = map(np.asarray, results[-1])
    values = [np.abs(np.asarray(final) - exact).max() for final, _ in results[:-1]]
    assert values[0] < 3e-2 and values[1] < 3e-4 and values[2] < 3e-6, values
    assert results[0][1] < 30 < most, results


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_the_weights_of_lms_integrate_polynomials(order: int) -> None:
    """Exactly, up to the degree `order - 1`, from uneven levels, also to 0."""
    levels = np.array([1.3, 2.0, 4.5, 5.0])
    with jax.enable_x64(True):
        for end in (0.7, 0.0, 1.9):
            weights = called(adams_weights, levels, np.array(order), np.array(end))
            for k in range(order):
                integral = (end ** (k + 1) - levels[0] ** (k + 1)) / (k + 1)
                np.testing.assert_allclose(np.asarray(weights) @ levels**k, integral, rtol=1e-12)


@pytest.mark.parametrize("h", [-3.0, -0.5, -1e-3, 1e-6, 1e-2, 0.3, 0.999, 1.001, 5.0, 25.0])
def test_moments_against_quadrature(h: float) -> None:
    theta, weights = np.polynomial.legendre.leggauss(200)
    theta, weights = (theta + 1) / 2, weights * np.exp(-(1 - (theta + 1) / 2) * h)
    exact = [(weights * theta**k).sum() / weights.sum() for k in (1, 2, 3)]
    with jax.enable_x64(True):
        np.testing.assert_allclose(called(moments, np.array(h)), exact, rtol=1e-11)
    np.testing.assert_allclose(called(moments, np.float32(h)), exact, rtol=5e-6)
