"""Gradients through sampling: right, in bounded memory, and of use."""

from functools import cache
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import others_slow
from jaxtyping import Array
from oracle import mixture

from equildm.noise import grids, ScaledLinear
from equildm.sampling import DDIM, DPMpp2M, Heun, sample, SOLVERS

LEVELS = grids.karras(ScaledLinear(), 12)
NOISE = jax.random.normal(jax.random.key(0), (2, 2, 1))
KEY = jax.random.key(1)


def reward(latent: Array) -> Array:
    return jnp.sum(latent * jnp.arange(4.0).reshape(2, 2, 1))


@pytest.mark.parametrize("name", others_slow(["dpm++2m", "unipc3", "heun", "ddpm"], "dpm++2m"))
def test_against_differences(name: str) -> None:
    with jax.enable_x64(True):
        oracle, noise = mixture(), NOISE.astype(jnp.float64)

        @jax.jit
        def value(noise: Array, weights: Array) -> Array:
            options: dict[str, Any] = {"condition": jax.nn.softmax(weights), "key": KEY}
            return reward(sample(oracle, noise, LEVELS, SOLVERS[name](), **options))

        weights = jnp.array([0.3, -0.2, 0.1])
        gradients = jax.jit(jax.grad(value, (0, 1)))(noise, weights)
        for direction in (0, 1):
            step = 1e-5
            dn = step * jnp.eye(4)[direction].reshape(2, 2, 1)
            dw = step * jnp.eye(3)[direction]
            by_noise = (value(noise + dn, weights) - value(noise - dn, weights)) / (2 * step)
            by_text = (value(noise, weights + dw) - value(noise, weights - dw)) / (2 * step)
            np.testing.assert_allclose(gradients[0].ravel()[direction], by_noise, rtol=1e-6)
            np.testing.assert_allclose(gradients[1][direction], by_text, rtol=1e-6)


@pytest.mark.parametrize(
    "adjoint",
    [
        diffrax.RecursiveCheckpointAdjoint(checkpoints=2),
        diffrax.DirectAdjoint(),
        diffrax.ForwardMode(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_adjoints_agree(adjoint: Any) -> None:
    with jax.enable_x64(True):
        mode = jax.jacfwd if isinstance(adjoint, diffrax.ForwardMode) else jax.grad
        values = gradient(mode, adjoint=adjoint)
        np.testing.assert_allclose(values, default_gradient(), rtol=1e-9)


def gradient(mode: Any, **options: Any) -> Array:
    oracle = mixture()
    value = lambda noise: reward(sample(oracle, noise, LEVELS, DPMpp2M(), **options))
    return jax.jit(mode(value))(NOISE.astype(jnp.float64))


@cache
def default_gradient() -> Array:
    return gradient(jax.grad)


@pytest.mark.slow
def test_the_backsolve_adjoint_with_a_solver_of_diffraxs() -> None:
    """Constant memory, for its own solvers. It solves the adjoint equation: equal to tolerance."""
    with jax.enable_x64(True):
        oracle, noise = mixture(), NOISE.astype(jnp.float64)
        levels = np.geomspace(14.0, 0.05, 60)
        value = lambda noise, **options: reward(
            sample(oracle, noise, levels, diffrax.Tsit5(), **options)
        )
        expected = jax.jit(jax.grad(value))(noise)
        backsolve = lambda noise: value(noise, adjoint=diffrax.BacksolveAdjoint())
        values = jax.jit(jax.grad(backsolve))(noise)
    np.testing.assert_allclose(values, expected, rtol=1e-3)


def test_checkpoints_bound_the_memory() -> None:
    shape = (64, 64, 4)
    levels = grids.karras(ScaledLinear(), 200)

    def network(y: Array, s: Array, condition: Any) -> Array:
        return jnp.tanh(y) / (1 + s)

    def temporaries(adjoint: Any) -> int:
        value = lambda noise: jnp.sum(sample(network, noise, levels, DDIM(), adjoint=adjoint) ** 2)
        compiled = jax.jit(jax.grad(value)).lower(jnp.ones(shape)).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    few = temporaries(diffrax.RecursiveCheckpointAdjoint(checkpoints=4))
    many = temporaries(diffrax.RecursiveCheckpointAdjoint(checkpoints=100))
    assert few < many / 5, (few, many)


def test_noise_and_prompt_can_be_optimised_for_a_reward() -> None:
    oracle = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), mixture())
    target = oracle.means[2]

    @jax.jit
    def loss(noise: Array, weights: Array) -> Array:
        condition = jax.nn.softmax(weights)
        latent = sample(oracle, noise, LEVELS, Heun(), condition=condition)
        return jnp.mean((latent - target) ** 2)

    noise, weights = NOISE, jnp.zeros(3)
    start = loss(noise, weights)
    gradient = jax.jit(jax.grad(loss, (0, 1)))
    for _ in range(60):
        by_noise, by_text = gradient(noise, weights)
        noise, weights = noise - 0.3 * by_noise, weights - 3 * by_text
    assert loss(noise, weights) < 0.05 * start
    assert int(jnp.argmax(weights)) == 2  # it identifies the prompt that the target is an image of
