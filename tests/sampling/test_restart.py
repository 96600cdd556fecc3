"""Restart sampling: its algorithm, the law of its samples, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array
from oracle import GaussianMixture

from equildm.noise import grids, ScaledLinear
from equildm.sampling import Heun, Restart, sample, sample_with_restarts

DATA = GaussianMixture(jnp.full((1, 1, 1, 1), 0.7), jnp.array([0.5]))
SD = ScaledLinear()


def draws(levels: np.ndarray, restarts: list[Restart], count: int = 20_000) -> Array:
    keys = jax.random.split(jax.random.key(0), count)

    def one(key: Array) -> Array:
        noise_key, key = jax.random.split(key)
        noise = jax.random.normal(noise_key, (1, 1, 1))
        return sample_with_restarts(DATA, noise, levels, restarts, key=key)

    return jax.jit(jax.vmap(one))(keys)


def test_no_restart_is_heun() -> None:
    noise, levels = jnp.ones((1, 1, 1)), grids.karras(SD, 7)
    plain = sample(DATA, noise, levels, Heun())
    np.testing.assert_array_equal(
        sample_with_restarts(DATA, noise, levels, [], key=jax.random.key(0)), plain
    )


def test_samples_have_the_moments_of_the_data() -> None:
    levels = grids.karras(SD, 18)
    finals = np.asarray(draws(levels, [Restart(2.0, 8.0, 1, 6), Restart(0.2, 1.0, 3, 6)]))
    assert abs(float(finals.mean()) - 0.7) < 0.015
    assert abs(float(finals.std()) - 0.5) < 0.01


def test_a_restart_forgets_the_errors_before_it() -> None:
    """A wrong state above `low` keeps a share of its error that each restart multiplies."""
    levels = grids.karras(SD, 18)
    low = levels[9]  # 9 steps before it and 9 after it, as in the restart: one program for all
    wrong, right = (np.full((1, 1, 1), value, np.float32) for value in (1.5, 0.5))
    apart = []
    for times in (1, 2):
        options = {"restarts": [Restart(low, 3.0, times, 9)], "key": jax.random.key(1)}
        ends = [
            sample_with_restarts(DATA, jax.device_put(noise), levels, **options)
            for noise in (wrong, right)
        ]
        apart.append(np.abs(np.subtract(*jax.device_get(ends))).item())
    share = ((0.25 + low**2) / (0.25 + 9.0)) ** 0.5  # of the flow from `high` to `low`
    np.testing.assert_allclose(np.divide(apart[1:], apart[:-1]), share, rtol=0.03)


@pytest.mark.parametrize(
    "restarts, rule",
    [
        ([Restart(20.0, 30.0)], "received low = 20.0"),
        ([Restart(0.001, 0.3)], "received low = 0.001"),
        ([Restart(0.2, 1.0), Restart(0.3, 1.0)], "below the restart before it"),
    ],
)
def test_what_lies_outside_of_the_grid_is_refused(restarts: list[Restart], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        draws(grids.karras(SD, 18), restarts, 1)


def test_a_traced_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="received traced levels"):
        jax.jit(lambda levels: draws(levels, [Restart(0.3, 2.0)], 1))(grids.karras(SD, 18))


@pytest.mark.parametrize("values", [(0.0, 1.0), (1.0, 1.0), (0.1, 1.0, 0), (0.1, 1.0, 1, 0)])
def test_restarts_that_are_none_are_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="A restart goes from"):
        Restart(*values)
