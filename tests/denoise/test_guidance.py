"""Guidance against its formula on an exact denoiser, and what it costs."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array
from oracle import mixture

from equildm.denoise import AbstractDenoiser, Guided

Y = jnp.asarray(np.random.default_rng(1).normal(size=(2, 2, 1)), jnp.float32)
S = jnp.array(1.5)
CAT, DOG, ALL = jnp.array([1.0, 0.0, 0.0]), jnp.array([0.0, 0.5, 0.5]), jnp.ones(3)


class Counted(AbstractDenoiser):
    """Tells each time that an example is really evaluated."""

    denoiser: AbstractDenoiser
    calls: list[int]

    def __call__(self, y: Array, s: Array, condition: Any) -> Array:
        jax.debug.callback(lambda _: self.calls.append(1), y[0, 0, 0] + condition[0])
        return self.denoiser(y, s, condition)

    def count(self) -> int:
        jax.effects_barrier()
        calls = len(self.calls)
        self.calls.clear()
        return calls


@pytest.mark.parametrize("weight", [-1.0, 0.0, 0.5, 1.0, 1, 7.5])
@pytest.mark.parametrize("traced", [False, True])
def test_formula(weight: Any, traced: bool) -> None:
    oracle = mixture()
    conditional, unconditional = oracle(Y, S, CAT), oracle(Y, S, ALL)
    expected = unconditional + weight * (conditional - unconditional)
    guided = Guided(oracle, jnp.asarray(weight, jnp.float32) if traced else weight)
    np.testing.assert_allclose(guided(Y, S, (CAT, ALL)), expected, atol=1e-5)


def test_it_is_guidance_of_the_noise_estimate() -> None:
    oracle = mixture()
    eps = lambda d: (Y - d) / S
    expected = eps(oracle(Y, S, ALL)) + 4 * (eps(oracle(Y, S, CAT)) - eps(oracle(Y, S, ALL)))
    np.testing.assert_allclose(eps(Guided(oracle, 4.0)(Y, S, (CAT, ALL))), expected, atol=1e-5)


def test_negative_prompt() -> None:
    oracle = mixture()
    cat, dog = oracle(Y, S, CAT), oracle(Y, S, DOG)
    guided = Guided(oracle, 3.0)(Y, S, (CAT, DOG))
    np.testing.assert_allclose(guided, dog + 3 * (cat - dog), atol=1e-5)


@pytest.mark.parametrize(
    "weight, evaluations",
    [(1.0, 1), (0.0, 1), (7.5, 2)],
)
@pytest.mark.parametrize("traced", [False, True])
def test_a_weight_of_one_or_zero_costs_one_evaluation(
    weight: float, evaluations: int, traced: bool
) -> None:
    counted = Counted(mixture(), [])
    run = jax.jit(lambda w: Guided(counted, w if traced else weight)(Y, S, (CAT, ALL)))
    run(jnp.array(weight))
    assert counted.count() == evaluations


def test_one_compilation_for_all_traced_weights() -> None:
    traces = []

    @jax.jit
    def run(weight: Array) -> Array:
        traces.append(1)
        return Guided(mixture(), weight)(Y, S, (CAT, ALL))

    for weight in (0.0, 1.0, 1.5, 8.0):
        run(jnp.array(weight))
    assert len(traces) == 1


def test_each_example_has_its_weight() -> None:
    counted = Counted(mixture(), [])
    weights = jnp.array([0.0, 1.0, 2.0, 7.5])
    ys = jnp.stack([Y, Y, Y, Y])
    run = jax.jit(jax.vmap(lambda y, w: Guided(counted, w, rescale=0.7)(y, S, (CAT, ALL))))
    batch = run(ys, weights)
    assert counted.count() == 8
    for weight, row in zip(weights, batch):
        alone = Guided(mixture(), float(weight), rescale=0.7)(Y, S, (CAT, ALL))
        np.testing.assert_allclose(row, alone, atol=1e-5)

    run(ys, jnp.array([0.0, 1.0, 1.0, 0.0]))
    assert counted.count() == 4


def test_rescale() -> None:
    oracle = mixture()
    conditional, plain = oracle(Y, S, CAT), Guided(oracle, 6.0)(Y, S, (CAT, ALL))
    factor = conditional.std() / plain.std()
    for phi in (0.7, 1.0, jnp.array(0.7)):
        rescaled = Guided(oracle, 6.0, rescale=phi)(Y, S, (CAT, ALL))
        np.testing.assert_allclose(rescaled, phi * plain * factor + (1 - phi) * plain, atol=1e-5)


@pytest.mark.parametrize("s, inside", [(0.5, False), (1.0, True), (1.5, True), (3.0, False)])
def test_interval(s: float, inside: bool) -> None:
    counted = Counted(mixture(), [])
    run = jax.jit(lambda s: Guided(counted, 5.0, interval=(0.9, 2.0))(Y, s, (CAT, ALL)))
    result = run(jnp.array(s))
    assert counted.count() == (2 if inside else 1)
    expected = Guided(mixture(), 5.0 if inside else 1.0)(Y, jnp.array(s), (CAT, ALL))
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_conditions_that_do_not_compare() -> None:
    with pytest.raises(ValueError, match="same structure and shapes"):
        Guided(mixture(), 2.0)(Y, S, (CAT, jnp.ones(4)))
    with pytest.raises(ValueError, match="same structure and shapes"):
        Guided(mixture(), 2.0)(Y, S, (CAT, {"text": CAT}))
