"""Guidance against its formula on an exact denoiser, and what it costs."""

import itertools
from typing import Any

import equinox as eqx
import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import others_slow
from jaxtyping import Array
from oracle import mixture

from equildm.denoise import AbstractDenoiser, Guided
from equildm.sampling import sample_from

Y = jax.device_put(np.random.default_rng(1).normal(size=(2, 2, 1)).astype(np.float32))
S = jax.device_put(np.float32(1.5))
CAT, DOG, ALL = (
    jax.device_put(np.float32(weights)) for weights in ([1, 0, 0], [0, 0.5, 0.5], [1, 1, 1])
)


def called(denoiser: AbstractDenoiser, *inputs: Any) -> np.ndarray:
    return np.asarray(helpers.called(denoiser, *inputs))


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
    conditional, unconditional = called(oracle, Y, S, CAT), called(oracle, Y, S, ALL)
    expected = unconditional + weight * (conditional - unconditional)
    run = jax.jit(lambda w: Guided(oracle, w if traced else weight)(Y, S, (CAT, ALL)))
    np.testing.assert_allclose(run(np.float32(weight)), expected, atol=1e-5)


def test_it_is_guidance_of_the_noise_estimate() -> None:
    oracle = mixture()
    eps = lambda d: (np.asarray(Y) - d) / np.asarray(S)
    cat, null = (eps(called(oracle, Y, S, condition)) for condition in (CAT, ALL))
    guided = called(Guided(oracle, 4.0), Y, S, (CAT, ALL))
    np.testing.assert_allclose(eps(guided), null + 4 * (cat - null), atol=1e-5)


def test_negative_prompt() -> None:
    oracle = mixture()
    cat, dog = called(oracle, Y, S, CAT), called(oracle, Y, S, DOG)
    guided = called(Guided(oracle, 3.0), Y, S, (CAT, DOG))
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
    weights = np.float32([0.0, 1.0, 2.0, 7.5])
    ys = np.stack([Y, Y, Y, Y])
    run = jax.jit(jax.vmap(lambda y, w: Guided(counted, w, rescale=0.7)(y, S, (CAT, ALL))))
    batch = np.asarray(run(ys, weights))
    assert counted.count() == 8
    guided = [Guided(mixture(), float(weight), rescale=0.7) for weight in weights]
    alone = jax.jit(lambda: [each(Y, S, (CAT, ALL)) for each in guided])()
    for row, one in zip(batch, alone, strict=True):
        np.testing.assert_allclose(row, one, atol=1e-5)

    run(ys, np.float32([0.0, 1.0, 1.0, 0.0]))
    assert counted.count() == 4


def test_rescale() -> None:
    oracle = mixture()
    conditional, plain = called(oracle, Y, S, CAT), called(Guided(oracle, 6.0), Y, S, (CAT, ALL))
    factor = conditional.std() / plain.std()
    phis = (0.7, 1.0, jnp.array(0.7))
    run = jax.jit(lambda: [Guided(oracle, 6.0, rescale=phi)(Y, S, (CAT, ALL)) for phi in phis])
    for phi, rescaled in zip(map(float, phis), run(), strict=True):
        np.testing.assert_allclose(rescaled, phi * plain * factor + (1 - phi) * plain, atol=1e-5)


@pytest.mark.parametrize("s, inside", [(0.5, False), (1.0, True), (1.5, True), (3.0, False)])
def test_interval(s: float, inside: bool) -> None:
    counted = Counted(mixture())
    run = jax.jit(lambda s: Guided(counted, 5.0, interval=(0.9, 2.0))(Y, s, (CAT, ALL)))
    result = run(jnp.array(s))
    assert counted.count() == (2 if inside else 1)
    expected = called(Guided(mixture(), 5.0 if inside else 1.0), Y, jnp.array(s), (CAT, ALL))
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("scale", [0.0, 0.6, 1.0])
def test_cfg_plus_plus(scale: float) -> None:
    """`y1 = D + s1 eps_null`, step by step."""
    oracle, levels = mixture(), np.array([9.0, 4.0, 1.0, 0.2, 0.0, 0.0])
    y = 9 * np.asarray(Y)
    guided = Guided(oracle, scale, cfg_plus_plus=jnp.asarray(levels))
    final = sample_from(guided, jax.device_put(y), levels, condition=(CAT, ALL))
    for s0, s1 in itertools.pairwise(levels[:5]):
        conditional, null = (called(oracle, y, s0, c) for c in (CAT, ALL))
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

    expected = (called(oracle, Y, S, CAT) - called(oracle, Y, S, ALL))[0, 0, 0]
    for compiled in (lambda f: f, jax.jit):
        gradient = compiled(jax.grad(value))(jnp.array(weight))
        np.testing.assert_allclose(gradient, expected, rtol=1e-5)
    batch = jax.jit(jax.vmap(jax.grad(value)))(np.float32([weight, 5.0]))
    np.testing.assert_allclose(batch, expected, rtol=1e-5)

    @jax.jit
    def of_state(y: Array, scale: Array) -> Array:
        return jnp.sum(jnp.sin(Guided(oracle, scale, rescale=rescale)(y, S, (CAT, ALL))))

    y, scale, step = np.asarray(Y), np.float32(weight), np.float32(1e-2)
    gradient = np.asarray(jax.jit(jax.grad(of_state))(y, scale))
    ends = [np.asarray(of_state(y + move, scale)) for move in (-step, step)]
    np.testing.assert_allclose(np.sum(gradient * step), (ends[1] - ends[0]) / 2, rtol=1e-3)


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
    assert np.all(np.isfinite(jax.jit(jax.grad(value))(Y)))


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

    y, condition = np.ones((4, 4, 1), jnp.bfloat16), np.ones((4, 4, 1), np.float32)
    number, array = (
        called(Guided(Wider(), scale), y, S, (condition, 0 * condition))
        for scale in (3.0, jnp.array(3.0))
    )
    np.testing.assert_allclose(number, array.astype(np.float32), rtol=0.02)
