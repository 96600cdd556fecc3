"""Attention against its formula in float64."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import others_slow

from equildm.nn import attend, CrossAttn, GroupNorm
from equildm.runtime import count_flops


def formula(query, key, value, mask):
    query, key, value = (np.asarray(x, np.float64) for x in (query, key, value))
    scores = np.einsum("qhw,khw->hqk", query, key) / np.sqrt(query.shape[-1])
    scores = np.where(mask, scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return np.einsum("hqk,khw->qhw", weights / weights.sum(-1, keepdims=True), value)


def inputs(queries, keys, heads=8, width=8):
    rng = np.random.default_rng(0)
    draw = lambda length: rng.standard_normal((length, heads, width), np.float32)
    return tuple(jax.device_put(draw(length)) for length in (queries, keys, keys))


# The third takes several blocks of queries, the last of them not full.
@pytest.mark.parametrize("queries, keys", [(5, 7), (64, 64), (300, 301), (40, 4100)])
@pytest.mark.parametrize("width", others_slow([3, 8, 16], 8))
@pytest.mark.parametrize("masked", [False, True])
def test_is_its_formula(queries, keys, width, masked):
    query, key, value = inputs(queries, keys, width=width)
    mask = np.arange(keys) < keys - 3 if masked else None
    expected = formula(query, key, value, True if mask is None else mask)
    got = jax.jit(attend)(query, key, value, mask)
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("width, keys", others_slow([(8, 301), (8, 600), (16, 301)], (8, 600)))
def test_both_derivatives_are_those_of_the_plain_formula(width, keys):
    inner = inputs(300, keys, width=width)
    mask = np.arange(keys) % 3 > 0
    weight = np.random.default_rng(7).standard_normal(inner[0].shape, np.float32)

    def plain(q, k, v, mask):
        scores = jnp.einsum("qhw,khw->hqk", q, k) / np.sqrt(q.shape[-1])
        weights = jax.nn.softmax(jnp.where(mask, scores, -jnp.inf), axis=-1)
        return jnp.einsum("hqk,khw->qhw", weights, v)

    def derivatives(attention):
        @jax.jit
        def both(inner, mask, weight):
            gradient = jax.grad(lambda *x: jnp.sum(weight * attention(*x, mask)), (0, 1, 2))
            return jax.jvp(gradient, inner, jax.tree.map(jnp.cos, inner))

        return both(inner, mask, weight)

    ours, theirs = derivatives(attend), derivatives(plain)
    for order, atol in enumerate((2e-6, 1e-5)):
        for a, b in zip(ours[order], theirs[order], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=atol)


def test_a_narrow_product_is_a_sum_on_cpus_alone_and_counts_the_same():
    query, key, value = inputs(64, 512)
    traced = jax.jit(attend).trace(query, key, value)
    products = {
        platform: traced.lower(lowering_platforms=(platform,)).as_text().count("dot_general")
        for platform in ("cpu", "cuda", "tpu")
    }
    assert products == {"cpu": 1, "cuda": 2, "tpu": 2}
    assert count_flops(attend, query, key, value).total == 2 * 2 * 64 * 512 * 8 * 8


@pytest.mark.parametrize("keys", [7, 600])
def test_both_modes_of_differentiation_agree(keys):
    @jax.jit
    def both(*primals):
        _, moved = jax.jvp(attend, primals, jax.tree.map(jnp.ones_like, primals))
        out, pull = jax.vjp(attend, *primals)
        return jnp.sum(moved), sum(jnp.sum(back) for back in pull(jnp.ones_like(out)))

    np.testing.assert_allclose(*both(*inputs(6, keys)), rtol=1e-4)


def test_no_key_to_attend_to_gives_zero():
    out = jax.jit(attend)(*inputs(4, 5), np.zeros(5, bool))
    assert not np.any(out)


@pytest.mark.parametrize(
    "width, keys", others_slow([(8, 64), (8, 600), (40, 64), (64, 64)], (8, 600), (64, 64))
)
def test_bfloat16_stays_bfloat16_and_rounds_once(width, keys):
    """As near to the formula as jax's own; it rounds weights and the result, and no query."""
    query, key, value = (np.asarray(x, jnp.bfloat16) for x in inputs(64, keys, width=width))
    got = jax.jit(attend)(query, key, value)
    assert got.dtype == jnp.bfloat16
    expected = formula(query, key, value, True)
    other = jax.jit(jax.nn.dot_product_attention)(query, key, value)
    errors = [np.linalg.norm(np.asarray(x, np.float64) - expected) for x in (got, other)]
    assert errors[0] < 1.5 * errors[1] and errors[0] < 4e-3 * np.linalg.norm(expected)


def test_float64_is_float64():
    with jax.enable_x64(True):
        query, key, value = (np.asarray(x, np.float64) for x in inputs(300, 301))
        got = jax.jit(attend)(query, key, value)
        np.testing.assert_allclose(got, formula(query, key, value, True), atol=1e-14)
        norm, x = GroupNorm(4, 8), query * 3 + 100
        groups = x.reshape(-1, 4, 2)
        centred = groups - groups.mean((0, 2), keepdims=True)
        right = centred / np.sqrt((centred**2).mean((0, 2), keepdims=True) + norm.eps)
        got = eqx.filter_jit(norm)(jax.device_put(x))
        np.testing.assert_allclose(got, right.reshape(x.shape), rtol=1e-9, atol=1e-9)


def test_a_context_of_another_width_is_refused():
    attention = CrossAttn(16, 12, 4, key=jax.random.key(0))
    with pytest.raises(ValueError, match="context of width 12"):
        attention(jnp.zeros((3, 16)), jnp.zeros((5, 11)))
    with pytest.raises(ValueError, match="heads=5"):
        CrossAttn(16, 12, 5, key=jax.random.key(0))
