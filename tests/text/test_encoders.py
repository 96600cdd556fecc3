"""Encoders: padding, batches, fingerprints, gradients."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from equildm._types import TextEmbedding
from equildm.interop import load_minilm, load_vae
from equildm.text import (
    Bert,
    ByteTokenizer,
    embed,
    fingerprint,
    MiniLM,
    sentence_embedding,
    SmallTextEncoder,
)

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def encoder():
    return SmallTextEncoder(width=16, depth=2, heads=2, max_tokens=12, key=KEY)


@pytest.fixture(scope="module")
def shallow():
    """Compiles in half the time."""
    return SmallTextEncoder(width=16, depth=1, heads=2, max_tokens=12, key=KEY)


def test_padding_changes_nothing(shallow):
    """Real tokens must not see padding: another length, or other ids there, gives the same."""
    encoder = shallow
    long = SmallTextEncoder(width=16, depth=1, heads=2, max_tokens=24, key=KEY)
    long = eqx.tree_at(
        lambda e: e.bert,
        long,
        eqx.tree_at(
            lambda b: b.positions,
            encoder.bert,
            np.r_[encoder.bert.positions, np.asarray(long.bert.positions)[12:]],
        ),
    )
    short_out, long_out = embed(encoder, ["a cat"]), embed(long, ["a cat"])
    real = short_out.mask[0].sum()
    assert real == 6
    np.testing.assert_allclose(
        short_out.tokens[0, :real], long_out.tokens[0, :real], rtol=0, atol=1e-5
    )
    ids, mask = encoder.tokenize(["a cat"])
    other = eqx.filter_jit(encoder)(np.where(mask[0], ids[0], 77), mask[0])
    np.testing.assert_allclose(
        np.asarray(other.tokens)[:real], short_out.tokens[0, :real], atol=1e-5
    )
    pool = jax.jit(sentence_embedding)
    np.testing.assert_allclose(pool(short_out), pool(long_out), atol=1e-5)


def test_embed_does_not_depend_on_the_batch(shallow):
    encoder = shallow
    captions = [f"caption {i}" for i in range(7)] + [""]
    together = embed(encoder, captions, batch=8)
    parts = embed(encoder, captions, batch=3)
    assert together.tokens.shape == (8, 12, 16) and together.mask.shape == (8, 12)
    assert isinstance(together.tokens, np.ndarray)
    np.testing.assert_allclose(together.tokens, parts.tokens, atol=1e-5)
    np.testing.assert_array_equal(together.mask, parts.mask)


def test_embed_compiles_few_programs_and_few_captions_are_a_small_batch():
    traces, sizes = [], []

    class Traced(Bert):
        def __call__(self, ids, mask):
            traces.append(1)
            jax.debug.callback(lambda row: sizes.append(row), ids[0])
            return jnp.zeros((len(ids), 8))  # what it computes does not matter here

    encoder = MiniLM(Traced(258, 8, 1, 2, longest=8, key=KEY), ByteTokenizer(), max_tokens=8)
    for count, rows in ((1, 2), (2, 2), (3, 8), (8, 8), (9, 32), (33, 64), (65, 128)):
        sizes.clear()
        embed(encoder, ["x"] * count)
        jax.effects_barrier()
        assert len(sizes) == rows
    assert len(traces) == 4
    embed(encoder, ["x"] * 9, batch=4)
    embed(encoder, ["x"] * 4, batch=4)
    assert len(traces) == 5


@pytest.mark.parametrize(
    ("captions", "match"),
    [([], "at least one caption, received an empty list"), ("a cat", r"Use \['a cat'\]")],
)
def test_embed_refuses(encoder, captions, match):
    with pytest.raises(ValueError, match=match):
        embed(encoder, captions)


def test_lengths_are_checked():
    bert = Bert(258, 8, 1, 2, longest=8, key=KEY)
    for length in (1, 9):
        with pytest.raises(ValueError, match=f"from 2 .* to 8 .*received {length}"):
            MiniLM(bert, ByteTokenizer(), max_tokens=length)
    with pytest.raises(ValueError, match="positions for 8 tokens, received 9"):
        bert(jnp.zeros(9, int), jnp.ones(9, bool))
    with pytest.raises(ValueError, match="at least 1, received 0"):
        SmallTextEncoder(max_tokens=0, key=KEY)


def test_fingerprint_tells_every_change(encoder):
    same = SmallTextEncoder(width=16, depth=2, heads=2, max_tokens=12, key=KEY)
    assert same.fingerprint == encoder.fingerprint
    words = np.array(encoder.bert.words)
    words[5, 3] *= np.float32(1.0000002)
    one_bit = eqx.tree_at(lambda e: e.bert.words, encoder, jnp.asarray(words))
    swapped = eqx.tree_at(lambda e: e.bert.layers, encoder, encoder.bert.layers[::-1])
    others = [
        one_bit,
        swapped,
        SmallTextEncoder(width=16, depth=2, heads=4, max_tokens=12, key=KEY),
        MiniLM(encoder.bert, ByteTokenizer(), max_tokens=12),
        MiniLM(encoder.bert, ByteTokenizer(), max_tokens=11),
    ]
    prints = {fingerprint(e) for e in [encoder, *others]}
    assert len(prints) == 1 + len(others)


def test_fingerprint_is_that_of_another_process(encoder):
    """Nothing of this process (addresses, hash seeds) may enter a cache's name."""
    from helpers import run_python

    code = (
        "import jax; from equildm.text import SmallTextEncoder;"
        "print(SmallTextEncoder(16, 2, 2, 12, key=jax.random.key(0)).fingerprint)"
    )
    assert run_python(code, devices=1).strip() == encoder.fingerprint


def test_fingerprint_refuses_what_it_cannot_name():
    with pytest.raises(ValueError, match="cannot name the object"):
        fingerprint(((object(),),))


def test_sentence_embedding_is_the_mean_of_real_tokens():
    tokens = np.array([[3.0, 0.0], [0.0, 8.0], [100.0, 100.0]], np.float32)
    mask = jnp.asarray(np.array([True, True, False]))
    out = jax.jit(sentence_embedding)(TextEmbedding(jnp.asarray(tokens), mask))
    np.testing.assert_allclose(out, np.array([1.5, 4.0]) / np.hypot(1.5, 4.0), rtol=1e-6)


def test_the_small_encoder_learns(shallow):
    """Gradients reach it: a few steps tell two captions apart."""
    encoder = shallow
    ids, mask = encoder.tokenize(["red circle", "blue circle"])

    @eqx.filter_value_and_grad
    def loss(model):
        a, b = jax.vmap(lambda i, m: sentence_embedding(model(i, m)))(ids, mask)
        return jnp.sum(a * b)

    optimiser = optax.adam(1e-2)
    state = jax.jit(optimiser.init)(eqx.filter(encoder, eqx.is_array))

    @eqx.filter_jit
    def step(model, state):
        value, grads = loss(model)
        updates, state = optimiser.update(grads, state)
        return eqx.apply_updates(model, updates), state, value

    similarities = []
    for _ in range(40):
        encoder, state, value = step(encoder, state)
        similarities.append(float(value))
    assert similarities[0] > 0.9 and similarities[-1] < 0.0


def test_caches_of_earlier_versions_stay_good():
    """Fingerprints name caches on disk. A new optional field must not change them."""
    assert fingerprint(load_vae()).startswith("2518b3d451f2")
    assert load_minilm().fingerprint.startswith("e2e2967919aa")
