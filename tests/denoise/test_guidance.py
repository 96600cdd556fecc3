"""Guidance against its formula on an exact denoiser, and what it costs."""

import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import others_slow
from jaxtyping import Array
from oracle import mixture

from equildm.denoise import AbstractDenoiser, Guided
from equildm.sampling import sample_from

Y = jnp.asarray(np.random.default_rng(1).normal(size=(2, 2, 1)), jnp.float32)
S = jnp.array(1.5)
CAT, DOG, ALL = jnp.array([1.0, 0.0, 0.0]), jnp.array([0.0, 0.5, 0.5]), jnp.ones(3)


class Calls(list[int]):
    """A list that is itself wherever it is passed on to, not a copy with the same values."""

    __hash__ = object.__hash__  # type: ignore[assignment]


class Counted(AbstractDenoiser):
    """Tells each time that an example is really evaluated."""

    denoiser: AbstractDenoiser
    calls: Calls = eqx.field(static=True, default_factory=Calls)

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
    counted = Counted(mixture())
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
    counted = Counted(mixture())
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
    counted = Counted(mixture())
    run = jax.jit(lambda s: Guided(counted, 5.0, interval=(0.9, 2.0))(Y, s, (CAT, ALL)))
    result = run(jnp.array(s))
    assert counted.count() == (2 if inside else 1)
    expected = Guided(mixture(), 5.0 if inside else 1.0)(Y, jnp.array(s), (CAT, ALL))
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("scale", [0.0, 0.6, 1.0])
def test_cfg_plus_plus(scale: float) -> None:
    """`y1 = D + s1 eps_null`, step by step."""
    oracle, levels = mixture(), np.array([9.0, 4.0, 1.0, 0.2, 0.0, 0.0])
    y = 9 * Y
    guided = Guided(oracle, scale, cfg_plus_plus=jnp.asarray(levels))
    final = sample_from(guided, y, levels, condition=(CAT, ALL))
    for s0, s1 in itertools.pairwise(levels[:5]):
        conditional, null = (oracle(y, jnp.asarray(s0), c) for c in (CAT, ALL))
        y = null + scale * (conditional - null) + s1 * (y - null) / s0
    np.testing.assert_allclose(final, y, atol=1e-5)


def test_conditions_that_do_not_compare() -> None:
    with pytest.raises(ValueError, match="same structure and shapes"):
        Guided(mixture(), 2.0)(Y, S, (CAT, jnp.ones(4)))
    with pytest.raises(ValueError, match="same structure and shapes"):
        Guided(mixture(), 2.0)(Y, S, (CAT, {"text": CAT}))


@pytest.mark.parametrize("weight", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("rescale", others_slow([0.0, 0.7], 0.7))
def test_the_gradient_with_respect_to_the_scale(weight: float, rescale: float) -> None:
    """Also where the value needs one estimate only: it is `D_condition - D_null` there."""
    oracle = mixture()

    def value(scale: Array) -> Array:
        return Guided(oracle, scale)(Y, S, (CAT, ALL))[0, 0, 0]

    expected = (oracle(Y, S, CAT) - oracle(Y, S, ALL))[0, 0, 0]
    for compiled in (lambda f: f, jax.jit):
        gradient = compiled(jax.grad(value))(jnp.array(weight))
        np.testing.assert_allclose(gradient, expected, rtol=1e-5)
    batch = jax.vmap(jax.grad(value))(jnp.array([weight, 5.0]))
    np.testing.assert_allclose(batch, expected, rtol=1e-5)

    def of_state(y: Array) -> Array:
        guided = Guided(oracle, jnp.array(weight), rescale=rescale)
        return jnp.sum(jnp.sin(guided(y, S, (CAT, ALL))))

    gradient, step = jax.grad(of_state)(Y), 1e-2 * jnp.ones_like(Y)
    slope = (of_state(Y + step) - of_state(Y - step)) / 2
    np.testing.assert_allclose(jnp.sum(gradient * step), slope, rtol=1e-3)


def test_a_traced_scale_compiles_the_network_once() -> None:
    """Its operations once in the program, whatever the scale turns out to be."""

    class Network(AbstractDenoiser):
        def __call__(self, y: Array, s: Array, condition: Any) -> Array:
            return jnp.arctan2(y, s) * condition[0]

    run = lambda w: Guided(Network(), w)(Y, S, (CAT, ALL))
    assert str(jax.make_jaxpr(run)(jnp.array(2.0))).count("atan2") == 1


def test_rescale_of_constant_estimates_has_a_gradient() -> None:
    class Constant(AbstractDenoiser):
        def __call__(self, y: Array, s: Array, condition: Any) -> Array:
            return jnp.mean(y) * condition[0] * jnp.ones_like(y)

    value = lambda y: jnp.sum(Guided(Constant(), 3.0, rescale=0.7)(y, S, (CAT, ALL)))
    assert np.all(np.isfinite(jax.grad(value)(Y)))


def test_one_scale_for_an_example() -> None:
    """A vector of scales would have guided each channel by its own."""
    for name, value in (
        ("guidance_scale", jnp.array([1.0, 2.0])),
        ("rescale", jnp.ones(2)),
        ("interval", (0.1, jnp.ones(3))),
    ):
        guided = eqx.tree_at(
            lambda g, name=name: getattr(g, name),
            Guided(mixture(), 2.0, interval=(0.1, 9.0)),
            value,
        )
        with pytest.raises(ValueError, match="one scale, rescale and interval for an example"):
            guided(Y, S, (CAT, ALL))


def test_a_denoiser_of_a_wider_type() -> None:
    """Of a latent in bfloat16 with a condition in float32, for instance."""

    class Wider(AbstractDenoiser):
        def __call__(self, y: Array, s: Array, condition: Array) -> Array:
            return 0.3 * condition + y

    y, condition = jnp.ones((4, 4, 1), jnp.bfloat16), jnp.ones((4, 4, 1))
    number, array = (
        Guided(Wider(), scale)(y, S, (condition, 0 * condition)) for scale in (3.0, jnp.array(3.0))
    )
    np.testing.assert_allclose(number, array.astype(jnp.float32), rtol=0.02)
