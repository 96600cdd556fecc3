"""T5's encoder: kinds of positions, padding, precision."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equildm.text import ByteTokenizer, T5Config, T5Text
from equildm.text.t5 import relative_buckets

CONFIG = T5Config(vocabulary=258, width=16, depth=2, heads=2, head_width=4, hidden=24)
IDS = np.arange(12) * 7
ALL = np.ones(12, bool)


@eqx.filter_jit
def run(t5, ids, mask):
    return t5(ids, mask)


@pytest.mark.parametrize(("buckets", "distance"), [(32, 128), (12, 14), (64, 100)])
def test_buckets_are_those_of_transformers(peer, buckets, distance):
    theirs = peer("t5_buckets", {"tokens": 300, "buckets": buckets, "distance": distance})
    np.testing.assert_array_equal(relative_buckets(300, buckets, distance), theirs["buckets"])


def test_buckets_by_hand():
    """Near positions one by one, then in growing steps; those after the query from 16 on."""
    kinds = relative_buckets(300, 32, 128)
    assert kinds[0, :9].tolist() == [0, 17, 18, 19, 20, 21, 22, 23, 24]
    assert kinds[:9, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert kinds[0, [16, 32, 64, 127, 128, 299]].tolist() == [26, 28, 30, 31, 31, 31]


@pytest.mark.parametrize("kind", ["relu", "gated-gelu"])
def test_real_tokens_do_not_see_padding(kind):
    t5 = T5Config(**{**vars(CONFIG), "feed_forward": kind}).build(key=jax.random.key(0))
    mask, other_ids = np.arange(12) < 7, np.where(np.arange(12) == 9, 250, IDS)
    cases = [(IDS, mask), (other_ids, mask), (IDS, ALL)]
    out, other, full = (np.asarray(run(t5, *case))[:7] for case in cases)
    np.testing.assert_allclose(run(t5, IDS[:7], mask[:7]), out, atol=1e-5)
    np.testing.assert_array_equal(other, out)
    assert np.abs(full - out).max() > 1e-4


def test_the_weights_decide_the_precision():
    t5 = CONFIG.build(key=jax.random.key(0))
    half = jax.tree.map(lambda a: np.asarray(a, jnp.bfloat16), t5)
    out = run(half, IDS, ALL)
    assert out.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(out, np.float32), run(t5, IDS, ALL), atol=0.1, rtol=0.1)


def test_gradients_reach_every_weight():
    encoder = T5Text(CONFIG.build(key=jax.random.key(0)), ByteTokenizer(), 12)
    ids, mask = (a[0] for a in encoder.tokenize(["a red cat"]))
    weights = np.random.default_rng(1).standard_normal((12, 16), np.float32)

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(encoder, ids, mask):
        out = encoder(ids, mask)
        return jnp.sum(weights * out.tokens * out.mask[:, None])

    grads = jax.device_get(gradient(encoder, ids, mask))
    for path, leaf in jax.tree_util.tree_flatten_with_path(grads)[0]:
        assert np.isfinite(leaf).all() and np.abs(leaf).max() > 0, path


def test_lengths_are_checked():
    with pytest.raises(ValueError, match="at least 1, received 0"):
        T5Text(CONFIG.build(key=jax.random.key(0)), ByteTokenizer(), 0)
    for buckets, distance in [(2, 128), (32, 8)]:
        with pytest.raises(ValueError, match=f"buckets={buckets} and distance={distance}"):
            relative_buckets(5, buckets, distance)
