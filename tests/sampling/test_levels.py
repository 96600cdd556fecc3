"""Levels as users make them: rounded otherwise, rising, from far above the data, padded, traced."""

import functools
from collections.abc import Callable
from functools import partial
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optimistix
import pytest
from helpers import called, others_slow
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
NOISE = jax.device_put(np.random.default_rng(0).normal(size=(2, 2, 1)).astype(np.float32))
GRID = grids.trailing(ScaledLinear(), 8)
UNLIKE = list({maker: name for name, maker in SOLVERS.items()}.values())
"""Every solver by one of its names."""
NOISY = [name for name in UNLIKE if needs_key(SOLVERS[name]())]
ZERO_SNR = ZeroTerminalSNR(ScaledLinear())


def drawn(name: str, levels: Any, noise: Any = NOISE) -> Array:
    run = lambda noise: sample(mixture(), noise, levels, SOLVERS[name](), key=KEY)
    return jax.jit(run)(noise)


@pytest.mark.slow  # test_stochastic.py shows it of the noise alone
@pytest.mark.parametrize("name", NOISY)
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
        levels, noise = GRID.astype(np.float64), NOISE.astype(jnp.float64)

        @jax.jit
        @jax.value_and_grad
        def value_and_gradient(levels: Array) -> Array:
            final = sample(mixture(), noise, levels, SOLVERS[name](), key=KEY)
            return jnp.sum(final * np.arange(4.0).reshape(2, 2, 1))

        _, gradient = jax.device_get(value_and_gradient(levels))
        assert np.all(np.isfinite(gradient))
        for i in (1, 5):
            by = 1e-5 * levels[i] * np.eye(len(levels))[i]
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
    others_slow([n for n in UNLIKE if n != "consistency"], "shark", "lms"),
)
def test_solvers_begin_far_above_the_data(name: str, schedule: Any, grid: Any) -> None:
    """Where nothing of the data is left, the first step is a step of order 1, which is exact."""
    noise = np.random.default_rng(1).normal(size=(64, 64, 1)).astype(np.float32)
    final = np.asarray(of_gaussian(name)(noise, np.float32(grid(schedule, 30))))
    # DDPM's own error is 0.09 at 30 steps.
    assert abs(np.std(final) - 0.5) < 0.1 and abs(np.mean(final) - 0.7) < 0.05


def test_heun_is_no_worse_than_ddim_on_the_cosine_schedule() -> None:
    """At 10 steps the error was 104, where DDIM's is 0.16."""

    def drawn(name: str, levels: np.ndarray) -> np.ndarray:
        return np.asarray(programs[name](grids.pad(levels, 4001)))

    programs = {
        name: jax.jit(partial(sample, mixture(), NOISE, solver=SOLVERS[name]()))
        for name in ("heun", "ddim")
    }
    levels = grids.trailing(SquaredCosine(), 10)
    right = drawn("ddim", grids.karras(SquaredCosine(), 4000))  # wrong by 0.001
    errors = {name: np.abs(drawn(name, levels) - right).max() for name in programs}
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

    def run(denoiser: Any, levels: Any, solver: Any, **options: Any) -> Array:
        """Compiled as one program, which raises when it runs."""
        final = jax.jit(lambda noise: sample(denoiser, noise, levels, solver, **options))(NOISE)
        return jax.block_until_ready(final)

    with pytest.raises(Exception, match="maximum number of solver steps"):
        run(mixture(), ends, diffrax.Tsit5(), **options)
    assert np.all(np.isnan(run(mixture(), ends, diffrax.Tsit5(), throw=False, **options)))

    def stiff(y: Array, s: Array, condition: Any) -> Array:
        return 1e4 * jnp.sin(1e4 * y / s)

    finder = diffrax.VeryChord(rtol=1e-6, atol=1e-6, norm=optimistix.max_norm)
    implicit = diffrax.ImplicitEuler(root_finder=finder)
    with pytest.raises(Exception, match=r"implicit solve|diverged|nonlinear"):
        run(stiff, GRID, implicit)
    assert np.all(np.isnan(run(stiff, GRID, implicit, throw=False)))


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


@functools.cache
def of_mixture(name: str) -> Any:
    """A path, its previews and its sample: one program for all levels."""

    def both(levels: Array) -> tuple[Any, Array, Array]:
        path = trajectory(mixture(), NOISE, levels, SOLVERS[name](), key=KEY)
        return path, path.previews(), sample(mixture(), NOISE, levels, SOLVERS[name](), key=KEY)

    return jax.jit(both)


@pytest.mark.parametrize("name", others_slow(["euler", "tsit5", "shark", "ddim", "ddpm"], "ddim"))
@pytest.mark.parametrize("schedule", [ScaledLinear(), ZERO_SNR])
def test_a_trajectory_goes_from_the_first_level_to_the_last(name: str, schedule: Any) -> None:
    levels = np.float32(grids.trailing(schedule, 6))
    path, previews, final = jax.device_get(of_mixture(name)(levels))
    np.testing.assert_allclose(path.levels, levels, rtol=1e-5)
    np.testing.assert_allclose(path.states[0], NOISE * np.sqrt(1 + levels[0] ** 2), rtol=1e-5)
    np.testing.assert_allclose(path.states[-1], final, rtol=1e-4, atol=1e-5)
    assert np.all(np.isfinite(previews)) and len(previews) == 6
    np.testing.assert_allclose(previews[-1], path.states[-1], rtol=1e-4, atol=1e-5)


def test_the_tail_of_a_padded_grid_has_its_steps() -> None:
    np.testing.assert_array_equal(tail(grids.pad(GRID, 20), 0.5), tail(GRID, 0.5))


def test_a_mask_may_be_soft() -> None:
    share = np.float32([[0.0, 1.0], [0.25, 0.5]])[..., None]
    known, s = np.full((2, 2, 1), 2, np.float32), np.float32(1)

    def inpainted(mask: np.ndarray) -> np.ndarray:
        denoiser = Inpainted(mixture(), *jax.device_put((known, mask)))
        return np.asarray(called(denoiser, NOISE, s, None))

    clean = np.asarray(called(mixture(), NOISE, s))
    np.testing.assert_allclose(inpainted(share), share * clean + (1 - share) * known, rtol=1e-6)
    np.testing.assert_array_equal(inpainted(share > 0), np.where(share > 0, clean, known))


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
