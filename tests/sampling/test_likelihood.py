"""Densities and inversions against the closed forms of a Gaussian mixture."""

import itertools
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


@jax.jit
def draw(keys: Array) -> Array:
    return jax.vmap(lambda key: mixture().draw(key, LOW))(keys)


def points() -> np.ndarray:
    drawn = np.asarray(draw(jax.random.split(jax.random.key(5), 4)))
    return np.concatenate([drawn, 1.5 * drawn])  # also where data is unlikely


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
        both = lambda y: (
            log_likelihood(denoiser, y, LOW, high, **options),
            oracle.log_density(y, jnp.array(LOW)),
        )
        values, exact = jax.jit(jax.vmap(both))(ys)
    assert float(np.ptp(exact)) > 5
    np.testing.assert_allclose(values, exact, atol=1e-3)


def test_the_default_prior_and_precision() -> None:
    """In float32, from `N(0, 1 + s^2)` at a level where the data hardly shows."""
    oracle = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), mixture())
    both = lambda y: (
        log_likelihood(oracle, y, LOW, 3000.0),
        oracle.log_density(y, jnp.array(LOW)),
    )
    values, exact = jax.jit(jax.vmap(both))(points().astype(np.float32))
    np.testing.assert_allclose(values, exact, atol=2e-2)


@pytest.mark.parametrize(
    ("dtype", "kind"),
    others_slow(
        itertools.product([jnp.float16, jnp.float32], [float, jax.device_put]),
        (jnp.float16, jax.device_put),
    ),
)
def test_levels_may_be_traced_and_a_latent_rounded(dtype: Any, kind: Any) -> None:
    """A level may be a Python number or an array, too."""
    oracle = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), mixture())
    y, density = jax.device_put(points()[0].astype(dtype)), partial(log_likelihood, oracle)
    exact = jax.jit(lambda y: oracle.log_density(y, jnp.array(LOW)))(np.float32(y))
    high = kind(3000.0)
    values = density(y, LOW, high), jax.jit(density)(y, LOW, high)
    np.testing.assert_allclose(values, exact, atol=2e-2)
    assert values[0].dtype == jnp.float32
    with jax.enable_x64(True):
        double = jax.jit(lambda y: density(y, LOW, 3000.0))(y)
        np.testing.assert_allclose(double, exact, atol=2e-2)


def test_what_is_no_path_is_refused() -> None:
    y = jax.device_put(points()[0])
    for low, high in ((0.0, 1.0), (2.0, 1.0), (1.0, float("inf")), (float("nan"), 1.0)):
        with pytest.raises(ValueError, match="from a level above 0 to a higher, finite one"):
            log_likelihood(mixture(), y, low, high)
    constant = jax.device_put(2.0)  # inside a `jit`, too
    with pytest.raises(ValueError, match="from a level above 0 to a higher, finite one"):
        jax.jit(lambda y: log_likelihood(mixture(), y, constant, 1.0))(y)
    with pytest.raises(ValueError, match="at least 1 probe, received 0"):
        log_likelihood(mixture(), y, LOW, HIGH, key=jax.random.key(0), probes=0)


def test_the_condition_counts() -> None:
    weights = jnp.array([1.0, 0.0, 0.0])
    with jax.enable_x64(True):
        oracle, y = mixture(), points()[0]
        prior = lambda y: oracle.log_density(y, jnp.array(HIGH), weights)
        options = {"condition": weights, "log_prior": prior, "controller": FINE}
        both = lambda y: (
            log_likelihood(oracle, y, LOW, HIGH, **options),
            oracle.log_density(y, jnp.array(LOW), weights),
        )
        values, exact = jax.jit(both)(y)
    np.testing.assert_allclose(values, exact, atol=1e-3)


def test_hutchinson_is_unbiased() -> None:
    with jax.enable_x64(True):
        oracle, y = mixture(), jax.device_put(points()[1])
        exact = float(jax.jit(lambda y: oracle.log_density(y, jnp.array(LOW)))(y))
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
    log_density = jax.device_put(10 * np.log(0.5))
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
        oracle, ys = mixture(), points()[:2]

        @jax.jit
        def there_and_back(y: Array) -> tuple[Array, Array]:
            noise = invert(oracle, y, levels, solver, **options)
            return noise, sample(oracle, noise, levels[levels > 0], solver, **options)

        for y in ys:
            noise, back = there_and_back(y)
            error = float(np.max(np.abs(np.asarray(back) - y)))
            assert error < bound, error
            assert 0.3 < float(np.std(np.asarray(noise))) < 3


def test_an_encoding_is_unit_noise() -> None:
    """Latents invert to `N(0, I)`, all of them together."""
    oracle = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), mixture())
    keys = jax.random.split(jax.random.key(1), 2000)
    levels = grids.exponential(ScaledLinear(), 30, low=0.03)
    encode = jax.jit(jax.vmap(lambda key: invert(oracle, oracle.draw(key, 0.03), levels)))
    noise = np.asarray(encode(keys)).reshape(2000, -1)
    np.testing.assert_allclose(noise.mean(0), 0, atol=0.12)
    np.testing.assert_allclose(np.cov(noise.T), np.eye(4), atol=0.12)


def test_slerp() -> None:
    rng = np.random.default_rng(0)
    between = jax.jit(slerp)
    a, b = rng.normal(size=(2, 32, 32, 4)).astype(np.float32)
    np.testing.assert_allclose(between(a, b, 0.0), a, atol=1e-6)
    np.testing.assert_allclose(between(a, b, 1.0), b, atol=1e-6)
    halfway = np.linalg.norm(np.ravel(between(a, b, 0.5)))
    np.testing.assert_allclose(halfway, np.linalg.norm(a.ravel()), rtol=0.05)
    assert np.linalg.norm(((a + b) / 2).ravel()) < 0.8 * halfway
    right, up = np.array([[[1.0, 0.0]]]), np.array([[[0.0, 1.0]]])
    expected = [[[np.cos(np.pi / 6), np.sin(np.pi / 6)]]]
    np.testing.assert_allclose(between(right, up, 1 / 3), expected, atol=1e-6)
    gradient = jax.jit(jax.grad(lambda x, other: slerp(x, other, 0.3).sum()))
    for other in (right, -right):  # no angle to speak of
        assert np.all(np.isfinite(between(right, other, 0.3)))
        assert np.all(np.isfinite(gradient(right, other)))
