"""Gradients through sampling: right, in bounded memory, and of use."""

from functools import cache, partial
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
NOISE = np.random.default_rng(0).normal(size=(2, 2, 1)).astype(np.float32)
KEY = jax.random.key(1)


def reward(latent: Array) -> Array:
    return jnp.sum(latent * jnp.arange(4.0).reshape(2, 2, 1))


@cache
def value_and_gradients(name: str) -> Any:
    """Of the reward, with respect to noise and weights, in float64."""
    oracle = mixture()

    @jax.jit
    @partial(jax.value_and_grad, argnums=(0, 1))
    def value(noise: Array, weights: Array) -> Array:
        options: dict[str, Any] = {"condition": jax.nn.softmax(weights), "key": KEY}
        return reward(sample(oracle, noise, LEVELS, SOLVERS[name](), **options))

    return lambda noise, weights: jax.device_get(value(noise, weights))


@pytest.mark.parametrize("name", others_slow(["dpm++2m", "unipc3", "heun", "ddpm"], "dpm++2m"))
def test_against_differences(name: str) -> None:
    with jax.enable_x64(True):
        of, noise = value_and_gradients(name), NOISE.astype(np.float64)
        weights = np.array([0.3, -0.2, 0.1])
        _, gradients = of(noise, weights)
        for direction in (0, 1):
            step = 1e-5
            dn = step * np.eye(4)[direction].reshape(2, 2, 1)
            dw = step * np.eye(3)[direction]
            by_noise = (of(noise + dn, weights)[0] - of(noise - dn, weights)[0]) / (2 * step)
            by_text = (of(noise, weights + dw)[0] - of(noise, weights - dw)[0]) / (2 * step)
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
    """With the default one, where equal weights are the condition: they are none."""
    with jax.enable_x64(True):
        oracle, noise = mixture(), NOISE.astype(np.float64)
        mode = jax.jacfwd if isinstance(adjoint, diffrax.ForwardMode) else jax.grad
        value = lambda noise: reward(sample(oracle, noise, LEVELS, DPMpp2M(), adjoint=adjoint))
        _, (expected, _) = value_and_gradients("dpm++2m")(noise, np.zeros(3))
        np.testing.assert_allclose(jax.jit(mode(value))(noise), expected, rtol=1e-9)


@pytest.mark.slow
def test_the_backsolve_adjoint_with_a_solver_of_diffraxs() -> None:
    """Constant memory, for its own solvers. It solves the adjoint equation: equal to tolerance."""
    with jax.enable_x64(True):
        oracle, noise = mixture(), NOISE.astype(np.float64)
        levels = np.geomspace(14.0, 0.05, 60)
        value = lambda noise, **options: reward(
            sample(oracle, noise, levels, diffrax.Tsit5(), **options)
        )
        expected = jax.jit(jax.grad(value))(noise)
        backsolve = lambda noise: value(noise, adjoint=diffrax.BacksolveAdjoint())
        values = jax.jit(jax.grad(backsolve))(noise)
    np.testing.assert_allclose(values, expected, rtol=1e-3)


def test_checkpoints_bound_the_memory() -> None:
    latent = jax.ShapeDtypeStruct((64, 64, 4), jnp.float32)
    levels = grids.karras(ScaledLinear(), 200)

    def network(y: Array, s: Array, condition: Any) -> Array:
        return jnp.tanh(y) / (1 + s)

    def temporaries(adjoint: Any) -> int:
        value = lambda noise: jnp.sum(sample(network, noise, levels, DDIM(), adjoint=adjoint) ** 2)
        compiled = jax.jit(jax.grad(value)).lower(latent).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    few = temporaries(diffrax.RecursiveCheckpointAdjoint(checkpoints=4))
    many = temporaries(diffrax.RecursiveCheckpointAdjoint(checkpoints=100))
    assert few < many / 5, (few, many)


def test_noise_and_prompt_can_be_optimised_for_a_reward() -> None:
    oracle = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), mixture())
    target = oracle.means[2]

    @jax.jit
    @partial(jax.value_and_grad, argnums=(0, 1))
    def loss(noise: Array, weights: Array) -> Array:
        condition = jax.nn.softmax(weights)
        latent = sample(oracle, noise, LEVELS, Heun(), condition=condition)
        return jnp.mean((latent - target) ** 2)

    noise, weights = NOISE, np.zeros(3, np.float32)
    start, _ = loss(noise, weights)
    for _ in range(60):
        _, (by_noise, by_text) = jax.device_get(loss(noise, weights))
        noise, weights = noise - 0.3 * by_noise, weights - 3 * by_text
    assert loss(noise, weights)[0] < 0.05 * start
    assert np.argmax(weights) == 2  # it identifies the prompt that the target is an image of
