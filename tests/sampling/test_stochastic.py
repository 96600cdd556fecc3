"""Stochastic samplers: weak errors at their rates, and the right distribution in the end."""

from functools import partial
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array
from oracle import GaussianMixture, mixture

from equildm.noise import grids, ScaledLinear
from equildm.sampling import (
    Ancestral,
    ChurnedHeun,
    DPM2,
    DPMpp2M,
    DPMpp2S,
    DPMppSDE,
    HalfLogSNR,
    needs_key,
    reverse_sde,
    SDEDPMpp2M,
    SDEDPMpp3M,
    solve,
    StepGrid,
    StepNoise,
    TCD,
)

HIGH, LOW = 14.0, 0.03


MOST = 160


@eqx.filter_jit
def ends_of(solver: Any, grid: Array, inputs: Array) -> Array:
    """Final states on data N(0.7, 0.5^2), for rows of a first state and each step's noise."""
    data = GaussianMixture(jnp.full((1, 1), 0.7), jnp.array([0.5]))

    def end(row: Array) -> Array:
        def increment(t0: Array, t1: Array) -> Array:
            return row[1:][jnp.sum(grid > t1)][None] * jnp.sqrt(t1 - t0)

        terms = reverse_sde(data, diffrax.ControlTerm(None, increment).control)
        return diffrax.diffeqsolve(
            terms, solver, grid[0], grid[-1], None, row[:1], stepsize_controller=StepGrid(grid)
        ).ys[-1][0]

    return jax.vmap(end)(inputs)


def response_and_variance(solver: Any, steps: int) -> tuple[float, float]:
    """Of the final state on data N(0.7, 0.5^2), exactly, with no sampling.

    There the denoiser is linear, so that the final state is an affine function of the first state
    and of each step's noise, whose coefficients unit inputs give. The response is how far
    the mean ends from the data's for each unit that it starts from there.
    """
    # Padded, and the solver an input: one program for all numbers of steps.
    grid = grids.pad(np.geomspace(HIGH, LOW, steps + 1), MOST + 1)
    inputs = np.vstack([np.zeros(MOST + 1), np.eye(MOST + 1)])
    ends = np.asarray(ends_of(solver, grid, inputs))
    offset, slopes = ends[0], ends[1:] - ends[0]
    assert not np.any(slopes[steps + 1 :])
    np.testing.assert_allclose(offset + 0.7 * slopes[0], 0.7)  # the right mean stays
    variance = slopes[0] ** 2 * (0.25 + HIGH**2) + np.sum(slopes[1:] ** 2)
    return float(slopes[0]), float(variance)


def shrink(strength: float, steps: int) -> float:
    """The exact response of `dy = (1 + k) (D - y) dlambda + sqrt(2 k) s dW` for a strength k."""
    return ((0.25 + LOW**2) / (0.25 + HIGH**2)) ** ((1 + strength) / 2)


def churned_shrink(churn: float, steps: int) -> float:
    """The exact response where each step raises the level and then follows the exact flow."""
    grid = np.geomspace(HIGH, LOW, steps + 1)
    raised = grid[:-1] * (1 + churn / steps)
    return float(np.prod(np.sqrt((0.25 + grid[1:] ** 2) / (0.25 + raised**2))))


@pytest.mark.parametrize(
    "solver, response, order",
    [
        pytest.param(lambda n: Ancestral(), partial(shrink, 1.0), 1, marks=pytest.mark.slow),
        pytest.param(lambda n: Ancestral(0.5), partial(shrink, 0.25), 1, marks=pytest.mark.slow),
        (lambda n: SDEDPMpp2M(), partial(shrink, 1.0), 2),
        pytest.param(
            lambda n: SDEDPMpp2M(eta=0.5), partial(shrink, 0.5), 2, marks=pytest.mark.slow
        ),
        pytest.param(lambda n: SDEDPMpp3M(), partial(shrink, 1.0), 2, marks=pytest.mark.slow),
        (lambda n: ChurnedHeun(jax.device_put(4 / n)), partial(churned_shrink, 4.0), 2),
    ],
    ids=[
        "ddpm",
        "eta 0.5",
        "sde-dpm++2m",
        "2m eta 0.5",
        "sde-dpm++3m",
        "churned heun",
    ],
)
def test_weak_order(solver: Any, response: Any, order: int) -> None:
    steps = (MOST // 4, MOST // 2, MOST)
    with jax.enable_x64(True):
        values = np.array([response_and_variance(solver(n), n) for n in steps])
    exact = np.array([(response(n), 0.25 + LOW**2) for n in steps])
    for errors in np.abs(values / exact - 1).T:
        slope = -np.polyfit(np.log(steps), np.log(errors), 1)[0]
        # For some the response is exact on this data.
        assert abs(slope - order) < 0.2 or max(errors) < 1e-10, (slope, errors)


def energy_p_value(a: np.ndarray, b: np.ndarray, permutations: int = 200) -> float:
    """Of the energy test that two samples are of one distribution (Szekely & Rizzo 2004)."""
    both = np.concatenate([a, b]).astype(np.float32)
    squares = (both**2).sum(1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * both @ both.T, 0))
    signs = np.concatenate([np.ones(len(a)), -np.ones(len(b))]).astype(np.float32)
    rng = np.random.default_rng(0)
    shuffled = np.stack([signs, *(rng.permutation(signs) for _ in range(permutations))], 1)
    statistics = -np.einsum("ik,ik->k", shuffled, distances @ shuffled)
    return float(np.mean(statistics[1:] >= statistics[0]))


@jax.jit
def exact_draws(keys: Array) -> Array:
    return jax.vmap(lambda key: mixture((2, 1, 1), 2, seed=3).draw(key, LOW))(keys)


@eqx.filter_jit
def finals(solver: Any, grid: Array, starts: Array, keys: Array) -> Array:
    oracle = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), mixture((2, 1, 1), 2, seed=3))

    def one(start: Any, key: Any) -> Array:
        return solve(oracle, oracle.draw(start, HIGH), grid, solver, key=key).ys[-1]

    return jax.vmap(one)(starts, keys)


def draw(solver: Any, steps: int, count: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """Samples at LOW by a solver, from exact samples at HIGH; and exact samples at LOW."""
    keys = jax.random.split(jax.random.key(0), 3 * count).reshape(3, count)
    grid = grids.karras(ScaledLinear(), steps + 1, high=HIGH, low=LOW, final=LOW)
    drawn = finals(solver, grids.pad(grid, 202), keys[0], keys[1])
    exact = exact_draws(keys[2])
    return np.asarray(drawn).reshape(count, -1), np.asarray(exact).reshape(count, -1)


@pytest.mark.parametrize(
    "solver, steps",
    [
        (Ancestral(), 200),
        pytest.param(Ancestral(0.5), 200, marks=pytest.mark.slow),
        pytest.param(SDEDPMpp2M(), 60, marks=pytest.mark.slow),
        pytest.param(SDEDPMpp3M(), 60, marks=pytest.mark.slow),
        pytest.param(DPMppSDE(), 60, marks=pytest.mark.slow),
        pytest.param(TCD(ScaledLinear()), 200, marks=pytest.mark.slow),
        pytest.param(Ancestral(solver=DPM2()), 200, marks=pytest.mark.slow),
        pytest.param(Ancestral(solver=DPMpp2S()), 200, marks=pytest.mark.slow),
        pytest.param(ChurnedHeun(0.1), 60, marks=pytest.mark.slow),
        pytest.param(diffrax.SRA1(), 60, marks=pytest.mark.slow),
        pytest.param(diffrax.ShARK(), 60, marks=pytest.mark.slow),
        pytest.param(DPMpp2M(), 40, marks=pytest.mark.slow),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "step") else str(value),
)
def test_the_final_distribution_is_right(solver: Any, steps: int) -> None:
    assert energy_p_value(*draw(solver, steps)) > 0.02


def test_the_test_of_distributions_sees_a_bias() -> None:
    assert energy_p_value(*draw(Ancestral(), 6)) < 0.01


def test_euler_maruyama_on_the_terms_themselves() -> None:
    """The reverse SDE is an ordinary one to diffrax, adaptive Brownian tree and all."""
    oracle = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), mixture((2, 1, 1), 2, seed=3))
    y = jax.device_put(np.float32(HIGH * np.random.default_rng(0).normal(size=(2, 1, 1))))
    tree = diffrax.VirtualBrownianTree(
        -3.0, 4.0, 1e-3, jax.ShapeDtypeStruct(y.shape, y.dtype), jax.random.key(1)
    )
    terms = reverse_sde(oracle, tree, time=HalfLogSNR())
    start, stop = -float(np.log(HIGH)), -float(np.log(LOW))
    solve_it = jax.jit(partial(diffrax.diffeqsolve, terms, diffrax.Euler(), start, stop, 0.05))
    solution = jax.device_get(solve_it(y))
    assert np.all(np.isfinite(solution.ys)) and np.abs(solution.ys).max() < 5


def test_the_noise_of_a_step_depends_on_key_and_number_alone() -> None:
    y, times = jnp.zeros((3, 2)), jnp.array([3.0, 2.0, 1.0])
    path = StepNoise(y, jax.random.key(0), times)
    evaluated = jax.jit(lambda path, a, b: path.evaluate(a, b))
    increment = evaluated(path, 1.0, 2.0)
    np.testing.assert_array_equal(increment, path.evaluate(jnp.array(1.0), jnp.array(2.0)))
    np.testing.assert_allclose(increment, evaluated(path, 1.0 + 1e-7, 2.0), rtol=1e-6)
    assert not np.allclose(increment, evaluated(path, 2.0, 3.0))
    other = StepNoise(y, jax.random.key(1), times)
    assert not np.allclose(increment, evaluated(other, 1.0, 2.0))


def test_the_noise_of_a_step_has_the_moments_that_its_solver_needs() -> None:
    """Of W, H and K over a step of length 2: variances dt, dt / 12, dt / 720 (Foster et al.)."""
    y, times = jnp.zeros(50_000), jnp.array([3.0, 1.0])
    path = StepNoise(y, jax.random.key(0), times, diffrax.SpaceTimeTimeLevyArea)
    area = path.evaluate(1.0, 3.0, use_levy=True)
    parts = [np.asarray(part) for part in (area.W, area.H, area.K)]
    for draws, variance in zip(parts, (2.0, 2 / 12, 2 / 720), strict=True):
        np.testing.assert_allclose(np.var(draws), variance, rtol=0.03)
        assert abs(np.mean(draws)) < 4 * (variance / len(y)) ** 0.5
    correlations = np.corrcoef(parts)
    assert np.abs(correlations - np.eye(3)).max() < 0.02


def test_who_needs_a_key() -> None:
    for solver in (Ancestral(), SDEDPMpp2M(), ChurnedHeun(), diffrax.SRA1(), diffrax.ShARK()):
        assert needs_key(solver)
        with pytest.raises(ValueError, match="needs key"):
            solve(mixture(), jnp.ones((2, 2, 1)), np.array([2.0, 1.0]), solver)
    for solver in (DPMpp2M(), diffrax.Euler(), diffrax.Tsit5()):
        assert not needs_key(solver)


def test_eta_beyond_one() -> None:
    with pytest.raises(ValueError, match="from 0"):
        Ancestral(1.5)


def test_two_draws_a_step_need_a_path_that_has_them() -> None:
    y = jnp.ones((2, 2, 1))
    path = StepNoise(y, jax.random.key(0), jnp.array([2.0, 1.0]))
    with pytest.raises(ValueError, match="needs a path with a space-time Levy area"):
        solve(mixture(), y, np.array([2.0, 1.0]), DPMppSDE(), path=path)
