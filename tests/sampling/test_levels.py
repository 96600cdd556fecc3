"""Levels as users make them: rounded otherwise, rising, from far above the data, padded, traced."""

import functools
from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optimistix
import pytest
from helpers import others_slow
from jaxtyping import Array
from oracle import GaussianMixture, mixture

from equildm.noise import grids, ScaledLinear, SquaredCosine, ZeroTerminalSNR
from equildm.sampling import (
    Ancestral,
    ChurnedHeun,
    DPMppSDE,
    Inpainted,
    needs_key,
    sample,
    SDEDPMpp3M,
    solve,
    SOLVERS,
    tail,
    trajectory,
)

KEY = jax.random.key(3)
NOISE = jax.random.normal(jax.random.key(0), (2, 2, 1))
GRID = grids.trailing(ScaledLinear(), 8)
UNLIKE = list({maker: name for name, maker in SOLVERS.items()}.values())
"""Every solver by one of its names."""
NOISY = [name for name in UNLIKE if needs_key(SOLVERS[name]())]
ZERO_SNR = ZeroTerminalSNR(ScaledLinear())


def drawn(name: str, levels: Any, noise: Array = NOISE) -> Array:
    return sample(mixture(), noise, levels, SOLVERS[name](), key=KEY)


@pytest.mark.parametrize("name", others_slow(NOISY, "ddpm"))
def test_a_rounding_error_makes_no_other_picture(name: str) -> None:
    right = np.asarray(drawn(name, GRID))
    jitted = jax.jit(lambda shift: drawn(name, jnp.asarray(GRID) * (1 + shift)))
    for shift in (0.0, 2e-7):
        np.testing.assert_allclose(jitted(shift), right, rtol=1e-3, atol=1e-3)
    with jax.enable_x64(True):
        double = drawn(name, GRID, NOISE.astype(jnp.float64))
    np.testing.assert_allclose(double, right, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", others_slow([n for n in UNLIKE if n != "tcd"], "lms"))
def test_gradients_with_respect_to_levels(name: str) -> None:
    """Against differences in float64, on a grid that ends in 0. TCD's levels are a table's."""
    with jax.enable_x64(True):
        levels, noise = jnp.asarray(GRID), NOISE.astype(jnp.float64)

        @jax.jit
        @jax.value_and_grad
        def value_and_gradient(levels: Array) -> Array:
            final = sample(mixture(), noise, levels, SOLVERS[name](), key=KEY)
            return jnp.sum(final * jnp.arange(4.0).reshape(2, 2, 1))

        _, gradient = value_and_gradient(levels)
        assert np.all(np.isfinite(gradient))
        for i in (1, 5):
            by = 1e-5 * levels[i] * jnp.eye(len(levels))[i]
            high, low = (value_and_gradient(levels + step)[0] for step in (by, -by))
            slope = (high - low) / (2 * by[i])
            np.testing.assert_allclose(gradient[i], slope, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", NOISY)
@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray])
def test_noise_is_not_added_upwards(name: str, kind: Any) -> None:
    with pytest.raises(ValueError, match="goes from high to low levels, received rising ones"):
        solve(mixture(), NOISE, kind([0.1, 1.0, 3.0]), SOLVERS[name](), key=KEY)


@functools.cache
def of_gaussian(name: str) -> Callable[[Array, Array], Array]:
    """Samples N(0.7, 0.25): one program for all levels."""
    data = GaussianMixture(jnp.full((1, 64, 64, 1), 0.7), jnp.array([0.5]))
    return jax.jit(lambda noise, levels: sample(data, noise, levels, SOLVERS[name](), key=KEY))


@pytest.mark.parametrize(
    ("schedule", "grid"),
    [(ZERO_SNR, grids.trailing), (ZERO_SNR, grids.karras), (SquaredCosine(), grids.trailing)],
)
@pytest.mark.parametrize(
    "name",
    others_slow([n for n in UNLIKE if n != "consistency"], "ddpm", "dpm++2s", "shark", "lms"),
)
def test_solvers_begin_far_above_the_data(name: str, schedule: Any, grid: Any) -> None:
    """Where nothing of the data is left, the first step is a step of order 1, which is exact."""
    noise = jax.random.normal(jax.random.key(1), (64, 64, 1))
    final = of_gaussian(name)(noise, jnp.asarray(grid(schedule, 30)))
    # DDPM's own error is 0.09 at 30 steps.
    assert abs(float(jnp.std(final)) - 0.5) < 0.1 and abs(float(jnp.mean(final)) - 0.7) < 0.05


def test_heun_is_no_worse_than_ddim_on_the_cosine_schedule() -> None:
    """At 10 steps the error was 104, where DDIM's is 0.16."""
    levels = grids.trailing(SquaredCosine(), 10)
    right = drawn("dpm++3m", grids.karras(SquaredCosine(), 400))
    errors = {n: float(jnp.abs(drawn(n, levels) - right).max()) for n in ("heun", "ddim")}
    assert errors["heun"] < 1.5 * errors["ddim"] < 1.5


@pytest.mark.parametrize("schedule", [ZERO_SNR, SquaredCosine()])
@pytest.mark.parametrize("grid", [grids.karras, grids.exponential, grids.uniform_lambda])
def test_grids_by_level_spend_their_steps_on_the_data(schedule: Any, grid: Any) -> None:
    levels = grid(schedule, 20)
    assert len(levels) == 21 and levels[0] == schedule.highest and levels[1] == grids.FAR
    assert np.sum(levels > 15) <= 7
    np.testing.assert_allclose(grid(ScaledLinear(), 20)[0], ScaledLinear().highest)


def test_a_solve_that_fails_says_so() -> None:
    options: dict[str, Any] = {"controller": diffrax.PIDController(1e-8, 1e-8), "max_steps": 8}
    ends = np.array([14.0, 0.03])
    with pytest.raises(Exception, match="maximum number of solver steps"):
        jax.block_until_ready(sample(mixture(), NOISE, ends, diffrax.Tsit5(), **options))
    final = sample(mixture(), NOISE, ends, diffrax.Tsit5(), throw=False, **options)
    assert np.all(np.isnan(final))

    def stiff(y: Array, s: Array, condition: Any) -> Array:
        return 1e4 * jnp.sin(1e4 * y / s)

    finder = diffrax.VeryChord(rtol=1e-6, atol=1e-6, norm=optimistix.max_norm)
    implicit = diffrax.ImplicitEuler(root_finder=finder)
    with pytest.raises(Exception, match=r"implicit solve|diverged|nonlinear"):
        jax.block_until_ready(sample(stiff, NOISE, GRID, implicit))
    assert np.all(np.isnan(sample(stiff, NOISE, GRID, implicit, throw=False)))


def test_diffrax_takes_its_own_options() -> None:
    done: list[int] = []

    class Meter(diffrax.AbstractProgressMeter):
        def init(self) -> Array:
            return jnp.array(0)

        def step(self, state: Array, progress: Any) -> Array:
            jax.debug.callback(lambda share: done.append(float(share)), progress)
            return state

        def close(self, state: Array) -> None:
            return None

    event = diffrax.Event(lambda t, y, args, **kwargs: jnp.abs(t) < 1.0)
    solution = solve(mixture(), NOISE, GRID, progress_meter=Meter(), event=event)
    jax.effects_barrier()
    assert done and 0 < abs(float(solution.ts[-1])) < 1.0


@pytest.mark.parametrize("name", others_slow(["euler", "tsit5", "shark", "ddim", "ddpm"], "ddim"))
@pytest.mark.parametrize("schedule", [ScaledLinear(), ZERO_SNR])
def test_a_trajectory_goes_from_the_first_level_to_the_last(name: str, schedule: Any) -> None:
    levels = grids.trailing(schedule, 6)
    path = trajectory(mixture(), NOISE, levels, SOLVERS[name](), key=KEY)
    np.testing.assert_allclose(path.levels, levels, rtol=1e-5)
    np.testing.assert_allclose(path.states[0], NOISE * np.sqrt(1 + levels[0] ** 2), rtol=1e-5)
    np.testing.assert_allclose(path.states[-1], drawn(name, levels), rtol=1e-4, atol=1e-5)
    previews = path.previews()
    assert np.all(np.isfinite(previews)) and len(previews) == 6
    np.testing.assert_allclose(previews[-1], path.states[-1], rtol=1e-4, atol=1e-5)


def test_the_tail_of_a_padded_grid_has_its_steps() -> None:
    np.testing.assert_array_equal(tail(grids.pad(GRID, 20), 0.5), tail(GRID, 0.5))


def test_a_mask_may_be_soft() -> None:
    share = jnp.array([[0.0, 1.0], [0.25, 0.5]])[..., None]
    known, s = jnp.full((2, 2, 1), 2.0), jnp.array(1.0)
    clean = mixture()(NOISE, s)
    soft = Inpainted(mixture(), known, share)(NOISE, s, None)
    np.testing.assert_allclose(soft, share * clean + (1 - share) * known, rtol=1e-6)
    hard = Inpainted(mixture(), known, share > 0)(NOISE, s, None)
    np.testing.assert_array_equal(hard, jnp.where(share > 0, clean, known))


@pytest.mark.slow
def test_options_of_solvers_are_no_new_programs() -> None:
    def drawn_by(eta: Any, scale: Any) -> Array:
        solvers = (
            Ancestral(eta, scale),
            ChurnedHeun(churn=eta),
            DPMppSDE(eta, scale),
            SDEDPMpp3M(eta=eta, noise_scale=scale),
        )
        return sum(sample(mixture(), NOISE, GRID, solver, key=KEY) for solver in solvers)

    run = jax.jit(drawn_by)
    for eta, scale in ((0.3, 1.0), (0.9, 1.02)):
        right = drawn_by(eta, scale)
        np.testing.assert_allclose(run(jnp.array(eta), jnp.array(scale)), right, rtol=1e-4)
    assert run._cache_size() == 1
