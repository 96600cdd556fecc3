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
IDS = jnp.arange(12) * 7


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
    arrays = (jnp.asarray(a, jnp.float32) for a in (query, key, value))
    np.testing.assert_allclose(causal_attend(*arrays, jnp.asarray(mask)), out, atol=1e-6)


def test_no_token_sees_a_later_one():
    out = TOWER(IDS)
    later = TOWER(IDS.at[7].set(250))
    np.testing.assert_array_equal(later[:7], out[:7])
    assert (jnp.abs(later[7:] - out[7:]).max(axis=1) > 1e-4).all()
    np.testing.assert_allclose(TOWER(IDS[:5]), out[:5], atol=1e-6)


def test_no_token_sees_a_hidden_one():
    mask = jnp.ones(12, bool).at[4].set(False)
    out, other = TOWER(IDS, mask), TOWER(IDS.at[4].set(250), mask)
    seen = np.arange(12) != 4
    np.testing.assert_array_equal(out[seen], other[seen])


def test_skipped_layers_are_not_there():
    short = eqx.tree_at(lambda tower: tower.layers, TOWER, TOWER.layers[:2])
    np.testing.assert_array_equal(TOWER(IDS, skip=1), short(IDS))


def test_padding_counts_or_not():
    captions = ["a cat"]
    plain = CLIPText(TOWER, ByteTokenizer(), 12)
    ids, mask = (jnp.asarray(a[0]) for a in plain.tokenize(captions))
    assert mask.sum() == 6 and plain(ids, mask).mask.all()
    hidden = CLIPText(TOWER, ByteTokenizer(), 12, padding=False)(ids, mask)
    np.testing.assert_array_equal(hidden.mask, mask)
    # The tower is causal: padding after the caption changes nothing before it.
    np.testing.assert_allclose(hidden.tokens[:6], plain(ids, mask).tokens[:6], atol=1e-6)
    assert jnp.abs(hidden.tokens[7:] - plain(ids, mask).tokens[7:]).max() > 1e-4


def test_the_weights_decide_the_precision():
    half = jax.tree.map(lambda a: a.astype(jnp.bfloat16), TOWER)
    out = half(IDS)
    assert out.dtype == jnp.bfloat16
    np.testing.assert_allclose(out.astype(jnp.float32), TOWER(IDS), atol=0.1)


@pytest.mark.parametrize("masked", others_slow([False, True], True))
def test_gradients_reach_every_weight(masked):
    mask = jnp.ones(12, bool).at[8:].set(False) if masked else None
    weights = jax.random.normal(jax.random.key(1), (12, 16))
    grads = eqx.filter_grad(lambda tower: jnp.sum(weights * tower(IDS, mask)))(TOWER)
    for path, leaf in jax.tree_util.tree_flatten_with_path(grads)[0]:
        assert bool(jnp.isfinite(leaf).all()), path
        if "to_key.bias" not in jax.tree_util.keystr(path, simple=True, separator="."):
            assert float(jnp.abs(leaf).max()) > 0, path  # a key's bias moves all scores alike
    assert jax.tree.leaves(eqx.filter_eval_shape(CONFIG.build, key=jax.random.key(0)))
