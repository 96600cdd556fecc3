"""CLIP's tower: causal attention, layers left out, precision."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import others_slow

from equildm.text import ByteTokenizer, CLIPConfig, CLIPText
from equildm.text.attention import causal_attend

CONFIG = CLIPConfig(vocabulary=258, width=16, depth=3, heads=2, longest=12)
TOWER = CONFIG.build(key=jax.random.key(0))
IDS = np.arange(12) * 7


def other_ids(place):
    return np.where(np.arange(12) == place, 250, IDS)


@eqx.filter_jit
def run(tower, ids, mask=None, **options):
    return tower(ids, mask, **options)


def test_causal_attention_is_the_formula():
    rng = np.random.default_rng(0)
    query, key, value = rng.normal(size=(3, 6, 2, 4))
    mask = np.array([True, True, False, True, True, True])
    out = np.zeros((6, 2, 4))
    for i in range(6):
        seen = [j for j in range(i + 1) if mask[j]]
        for h in range(2):
            scores = np.exp(key[seen, h] @ query[i, h] / 2.0)
            out[i, h] = scores @ value[seen, h] / scores.sum()
    arrays = (a.astype(np.float32) for a in (query, key, value))
    np.testing.assert_allclose(jax.jit(causal_attend)(*arrays, mask), out, atol=1e-6)


def test_no_token_sees_a_later_one():
    out, later = (np.asarray(run(TOWER, ids)) for ids in (IDS, other_ids(7)))
    np.testing.assert_array_equal(later[:7], out[:7])
    assert (np.abs(later[7:] - out[7:]).max(axis=1) > 1e-4).all()
    np.testing.assert_allclose(run(TOWER, IDS[:5]), out[:5], atol=1e-6)


def test_no_token_sees_a_hidden_one():
    seen = np.arange(12) != 4
    out, other = (np.asarray(run(TOWER, ids, seen)) for ids in (IDS, other_ids(4)))
    np.testing.assert_array_equal(out[seen], other[seen])


def test_skipped_layers_are_not_there():
    short = eqx.tree_at(lambda tower: tower.layers, TOWER, TOWER.layers[:2])
    np.testing.assert_array_equal(run(TOWER, IDS, skip=1), run(short, IDS))


def test_padding_counts_or_not():
    captions = ["a cat"]
    plain = CLIPText(TOWER, ByteTokenizer(), 12)
    ids, mask = (a[0] for a in plain.tokenize(captions))
    hidden = CLIPText(TOWER, ByteTokenizer(), 12, padding=False)
    plain, hidden = jax.device_get([run(encoder, ids, mask) for encoder in (plain, hidden)])
    assert mask.sum() == 6 and plain.mask.all()
    np.testing.assert_array_equal(hidden.mask, mask)
    # The tower is causal: padding after the caption changes nothing before it.
    np.testing.assert_allclose(hidden.tokens[:6], plain.tokens[:6], atol=1e-6)
    assert np.abs(hidden.tokens[7:] - plain.tokens[7:]).max() > 1e-4


def test_the_weights_decide_the_precision():
    half = jax.tree.map(lambda a: np.asarray(a, jnp.bfloat16), TOWER)
    out = run(half, IDS)
    assert out.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(out, np.float32), run(TOWER, IDS), atol=0.1)


@pytest.mark.parametrize("masked", others_slow([False, True], True))
def test_gradients_reach_every_weight(masked):
    mask = np.arange(12) < 8 if masked else None
    weights = np.random.default_rng(1).standard_normal((12, 16), np.float32)
    gradient = eqx.filter_jit(eqx.filter_grad(lambda tower, *x: jnp.sum(weights * tower(*x))))
    grads = jax.device_get(gradient(TOWER, IDS, mask))
    for path, leaf in jax.tree_util.tree_flatten_with_path(grads)[0]:
        assert np.isfinite(leaf).all(), path
        if "to_key.bias" not in jax.tree_util.keystr(path, simple=True, separator="."):
            assert np.abs(leaf).max() > 0, path  # a key's bias moves all scores alike
    assert jax.tree.leaves(eqx.filter_eval_shape(CONFIG.build, key=jax.random.key(0)))
