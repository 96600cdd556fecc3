"""Densities and inversions against the closed forms of a Gaussian mixture."""

from functools import partial
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import others_slow
from jaxtyping import Array
from oracle import ExactNetwork, mixture

from equildm.denoise import Preconditioned
from equildm.noise import (
    EDMPrediction,
    EDMSchedule,
    FlowVelocity,
    grids,
    RectifiedFlow,
    ScaledLinear,
)
from equildm.sampling import (
    bits_per_dimension,
    DDIM,
    HalfLogSNR,
    Heun,
    invert,
    log_likelihood,
    sample,
    slerp,
)

LOW, HIGH = 0.01, 300.0
FINE = diffrax.PIDController(rtol=1e-7, atol=1e-7)


def points(count: int = 4) -> Array:
    oracle = mixture()
    drawn = jax.vmap(lambda key: oracle.draw(key, LOW))(jax.random.split(jax.random.key(5), count))
    return jnp.concatenate([drawn, 1.5 * drawn])  # also where data is unlikely


@pytest.mark.parametrize(
    "process",
    [
        None,
        pytest.param((RectifiedFlow(), FlowVelocity()), marks=pytest.mark.slow),
        pytest.param((EDMSchedule(0.7), EDMPrediction(0.7)), marks=pytest.mark.slow),
    ],
    ids=["exact", "flow", "edm"],
)
def test_log_likelihood_is_the_closed_form(process: Any) -> None:
    """Of the exact denoiser, also as a network of flow matching or EDM predicts it."""
    with jax.enable_x64(True):
        oracle, ys = mixture(), points()
        denoiser, high = oracle, HIGH
        if process is not None:
            denoiser = Preconditioned(ExactNetwork(oracle, *process), *process)
            high = min(HIGH, process[0].highest)
        prior = lambda y: oracle.log_density(y, jnp.array(high))
        options = {"log_prior": prior, "controller": FINE}
        values = jax.jit(jax.vmap(lambda y: log_likelihood(denoiser, y, LOW, high, **options)))(ys)
        exact = jax.vmap(lambda y: oracle.log_density(y, jnp.array(LOW)))(ys)
    assert float(np.ptp(exact)) > 5
    np.testing.assert_allclose(values, exact, atol=1e-3)


def test_the_default_prior_and_precision() -> None:
    """In float32, from `N(0, 1 + s^2)` at a level where the data hardly shows."""
    oracle = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), mixture())
    ys = points().astype(jnp.float32)
    values = jax.jit(jax.vmap(lambda y: log_likelihood(oracle, y, LOW, 3000.0)))(ys)
    exact = jax.vmap(lambda y: oracle.log_density(y, jnp.array(LOW)))(ys)
    np.testing.assert_allclose(values, exact, atol=2e-2)


@pytest.mark.parametrize("dtype", others_slow([jnp.float16, jnp.float32], jnp.float16))
def test_levels_may_be_traced_and_a_latent_rounded(dtype: Any) -> None:
    oracle = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), mixture())
    y, density = points()[0].astype(dtype), partial(log_likelihood, oracle)
    exact = oracle.log_density(y.astype(jnp.float32), jnp.array(LOW))
    for high in (3000.0, jnp.array(3000.0)):
        values = density(y, LOW, high), jax.jit(density)(y, LOW, high)
        np.testing.assert_allclose(values, exact, atol=2e-2)
        assert values[0].dtype == jnp.float32
    with jax.enable_x64(True):
        np.testing.assert_allclose(density(y, LOW, 3000.0), exact, atol=2e-2)


def test_what_is_no_path_is_refused() -> None:
    y = points()[0]
    for low, high in ((0.0, 1.0), (2.0, 1.0), (1.0, float("inf")), (float("nan"), 1.0)):
        with pytest.raises(ValueError, match="from a level above 0 to a higher, finite one"):
            log_likelihood(mixture(), y, low, high)
    with pytest.raises(ValueError, match="at least 1 probe, received 0"):
        log_likelihood(mixture(), y, LOW, HIGH, key=jax.random.key(0), probes=0)


def test_the_condition_counts() -> None:
    weights = jnp.array([1.0, 0.0, 0.0])
    with jax.enable_x64(True):
        oracle, y = mixture(), points()[0]
        prior = lambda y: oracle.log_density(y, jnp.array(HIGH), weights)
        values = log_likelihood(
            oracle, y, LOW, HIGH, condition=weights, log_prior=prior, controller=FINE
        )
        exact = oracle.log_density(y, jnp.array(LOW), weights)
    np.testing.assert_allclose(values, exact, atol=1e-3)


def test_hutchinson_is_unbiased() -> None:
    with jax.enable_x64(True):
        oracle, y = mixture(), points()[1]
        exact = float(oracle.log_density(y, jnp.array(LOW)))
        keys = jax.random.split(jax.random.key(0), 100)
        prior = lambda y: oracle.log_density(y, jnp.array(HIGH))
        estimate = lambda key, n: log_likelihood(
            oracle, y, LOW, HIGH, key=key, probes=n, log_prior=prior
        )
        both = jax.jit(jax.vmap(lambda key: (estimate(key, 1), estimate(key, 8))))(keys)
        single, many = map(np.asarray, both)
    assert 0.05 < single.std()  # it is an estimate
    assert abs(single.mean() - exact) < 4 * single.std() / 10
    np.testing.assert_allclose(single.std() / many.std(), 8**0.5, rtol=0.3)


def test_bits_per_dimension() -> None:
    # A uniform density on [-1, 1]^d is 8 bits for 256 values, bar the ends.
    log_density = jnp.array(10 * np.log(0.5))
    np.testing.assert_allclose(bits_per_dimension(log_density, 10), np.log2(255), rtol=1e-6)
    np.testing.assert_allclose(bits_per_dimension(log_density, 10, width=1.0), 1, rtol=1e-6)


@pytest.mark.parametrize(
    "solver, options, steps, bound",
    [
        pytest.param(diffrax.Tsit5(), {"time": HalfLogSNR()}, 30, 1e-5, marks=pytest.mark.slow),
        (diffrax.Tsit5(), {"controller": diffrax.PIDController(rtol=1e-6, atol=1e-6)}, 2, 1e-4),
        pytest.param(Heun(), {}, 200, 1e-3, marks=pytest.mark.slow),
        pytest.param(DDIM(), {}, 200, 2e-1, marks=pytest.mark.slow),
    ],
    ids=["tsit5", "adaptive", "heun", "ddim"],
)
def test_there_and_back(solver: Any, options: Any, steps: int, bound: float) -> None:
    levels = grids.exponential(ScaledLinear(), steps)
    with jax.enable_x64(True):
        oracle, ys = mixture(), points(2)[:2]

        @jax.jit
        def there_and_back(y: Array) -> tuple[Array, Array]:
            noise = invert(oracle, y, levels, solver, **options)
            return noise, sample(oracle, noise, levels[levels > 0], solver, **options)

        for y in ys:
            noise, back = there_and_back(y)
            error = float(jnp.max(jnp.abs(back - y)))
            assert error < bound, error
            assert 0.3 < float(jnp.std(noise)) < 3


def test_an_encoding_is_unit_noise() -> None:
    """Latents invert to `N(0, I)`, all of them together."""
    oracle = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), mixture())
    keys = jax.random.split(jax.random.key(1), 2000)
    data = jax.vmap(lambda key: oracle.draw(key, 0.03))(keys)
    levels = grids.exponential(ScaledLinear(), 30, low=0.03)
    noise = np.asarray(jax.jit(jax.vmap(lambda y: invert(oracle, y, levels)))(data)).reshape(
        2000, -1
    )
    np.testing.assert_allclose(noise.mean(0), 0, atol=0.12)
    np.testing.assert_allclose(np.cov(noise.T), np.eye(4), atol=0.12)


def test_slerp() -> None:
    rng = np.random.default_rng(0)
    a, b = jnp.asarray(rng.normal(size=(2, 32, 32, 4)), jnp.float32)
    np.testing.assert_allclose(slerp(a, b, 0.0), a, atol=1e-6)
    np.testing.assert_allclose(slerp(a, b, 1.0), b, atol=1e-6)
    halfway = jnp.linalg.norm(slerp(a, b, 0.5).ravel())
    np.testing.assert_allclose(halfway, jnp.linalg.norm(a.ravel()), rtol=0.05)
    assert jnp.linalg.norm(((a + b) / 2).ravel()) < 0.8 * halfway
    right, up = jnp.array([[[1.0, 0.0]]]), jnp.array([[[0.0, 1.0]]])
    expected = [[[np.cos(np.pi / 6), np.sin(np.pi / 6)]]]
    np.testing.assert_allclose(slerp(right, up, 1 / 3), expected, atol=1e-6)
    for other in (right, -right):  # no angle to speak of
        assert jnp.all(jnp.isfinite(slerp(right, other, 0.3)))
        gradient = jax.grad(lambda x, other=other: slerp(x, other, 0.3).sum())(right)
        assert jnp.all(jnp.isfinite(gradient))
