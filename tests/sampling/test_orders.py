"""How fast deterministic samplers converge, fitted on an exact denoiser in float64."""

from functools import cache
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array
from oracle import mixture

from equildm.noise import grids
from equildm.sampling import (
    DDIM,
    DEIS,
    DPM2,
    DPMpp2M,
    DPMpp2S,
    DPMpp3M,
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


def errors(solver: Any, steps: tuple[int, ...], time: Any = None) -> np.ndarray:
    """Largest error at the lowest level on grids of equal steps in lambda."""
    oracle, y = mixture(), HIGH * jax.random.normal(jax.random.key(0), (2, 2, 1))
    run = jax.jit(lambda grid: solve(oracle, y, grid, solver, time=time).ys[-1])
    levels = [grids.pad(np.geomspace(HIGH, LOW, n + 1), max(steps) + 1) for n in steps]
    return np.array([float(jnp.max(jnp.abs(run(grid) - exact_end()))) for grid in levels])


@cache
def exact_end() -> Array:
    """Where the flow leads from `errors`' start."""
    oracle, y = mixture(), HIGH * jax.random.normal(jax.random.key(0), (2, 2, 1))
    fine = diffrax.PIDController(rtol=1e-13, atol=1e-13)
    ends = np.array([HIGH, LOW])
    return solve(oracle, y, ends, diffrax.Dopri8(), controller=fine, time=HalfLogSNR()).ys[-1]


@pytest.mark.parametrize(
    "solver, time, order, steps",
    [
        (DDIM(), None, 1, (32, 64, 128)),
        (diffrax.Euler(), None, 1, (32, 64, 128)),
        (DPMpp2M(), None, 2, (32, 64, 128)),
        (DPMpp2S(), None, 2, (32, 64, 128)),
        (Heun(), None, 2, (64, 128, 256)),
        (diffrax.Heun(), None, 2, (64, 128, 256)),
        (diffrax.Heun(), HalfLogSNR(), 2, (64, 128, 256)),
        # Its first two steps are of order 1 and 2. That they cost order on still finer grids shows
        # only where D hardly changes over the first step; here the third order lasts to 64 steps.
        (DPMpp3M(), None, 3, (16, 32, 64)),
        (DPMpp3M(as_published=True), None, 2, (32, 64, 128)),
        (DEIS(2), None, 2, (32, 64, 128)),
        (DEIS(3), None, 3, (16, 32, 64)),
        (DPM2(), None, 2, (32, 64, 128)),
        (LMS(1), None, 1, (32, 64, 128)),
        (LMS(2), None, 2, (64, 128, 256)),
        (LMS(3), None, 3, (64, 128, 256)),
        # The corrector adds one to the order of the predictor.
        (UniPC(1), None, 2, (32, 64, 128)),
        (UniPC(2), None, 3, (32, 64, 128)),
        (UniPC(2, variant="bh1"), None, 3, (32, 64, 128)),
        (UniPC(3), None, 4, (32, 64, 128)),
        (diffrax.Tsit5(), HalfLogSNR(), 5, (16, 32, 64)),
        (diffrax.Dopri5(), HalfLogSNR(), 5, (16, 32, 64)),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "order") else None,
)
def test_order(solver: Any, time: Any, order: int, steps: tuple[int, ...]) -> None:
    with jax.enable_x64(True):
        values = errors(solver, steps, time)
    slope = -np.polyfit(np.log(steps), np.log(values), 1)[0]
    assert abs(slope - order) < 0.35, (slope, values)


def test_ddim_is_eulers_method() -> None:
    with jax.enable_x64(True):
        oracle, y = mixture(), HIGH * jax.random.normal(jax.random.key(0), (2, 2, 1))
        grid = np.geomspace(HIGH, LOW, 21)
        ours = solve(oracle, y, grid, DDIM()).ys
        np.testing.assert_allclose(ours, solve(oracle, y, grid, diffrax.Euler()).ys, rtol=1e-12)


@pytest.mark.parametrize("time", [Level(), HalfLogSNR()])
def test_what_a_tolerance_buys(time: Any) -> None:
    """Adaptive steps: errors follow the tolerance, evaluations grow slowly."""
    with jax.enable_x64(True):
        oracle, y = mixture(), HIGH * jax.random.normal(jax.random.key(0), (2, 2, 1))
        ends = np.array([HIGH, LOW])

        @jax.jit
        def run(tolerance: Array) -> tuple[Array, Array]:
            control = diffrax.PIDController(rtol=tolerance, atol=tolerance)
            solution = solve(
                oracle, y, ends, diffrax.Tsit5(), controller=control, time=time, throw=True
            )
            return solution.ys[-1], solution.stats["num_steps"]

        results = [run(jnp.asarray(tolerance)) for tolerance in (1e-3, 1e-5, 1e-7, 1e-12)]
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
            weights = adams_weights(jnp.asarray(levels), jnp.asarray(order), jnp.asarray(end))
            for k in range(order):
                integral = (end ** (k + 1) - levels[0] ** (k + 1)) / (k + 1)
                np.testing.assert_allclose(weights @ levels**k, integral, rtol=1e-12)


@pytest.mark.parametrize("h", [-3.0, -0.5, -1e-3, 1e-6, 1e-2, 0.3, 0.999, 1.001, 5.0, 25.0])
def test_moments_against_quadrature(h: float) -> None:
    theta, weights = np.polynomial.legendre.leggauss(200)
    theta, weights = (theta + 1) / 2, weights * np.exp(-(1 - (theta + 1) / 2) * h)
    exact = [(weights * theta**k).sum() / weights.sum() for k in (1, 2, 3)]
    with jax.enable_x64(True):
        np.testing.assert_allclose(moments(jnp.array(h)), exact, rtol=1e-11)
    np.testing.assert_allclose(moments(jnp.array(h, jnp.float32)), exact, rtol=5e-6)
