"""BERT against `transformers`, with random and with MiniLM's weights."""

import equinox as eqx
import jax
import numpy as np
import pytest

from equildm.interop import bert_table, load_minilm, write_weights
from equildm.text import Bert, embed, sentence_embedding


@pytest.fixture(scope="module")
def minilm():
    return load_minilm(max_tokens=24)


def _relative(ours, theirs):
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


@pytest.mark.peer
def test_random_weights(peer):
    config = {
        "vocab_size": 50,
        "hidden_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "intermediate_size": 40,
        "max_position_embeddings": 20,
    }
    bert = Bert(50, 24, 3, 3, hidden=40, longest=20, key=jax.random.key(3))
    rng = np.random.default_rng(0)
    # Weights of size 0.02 would leave the attention uniform: draw larger ones.
    bert = jax.tree.map(lambda a: rng.normal(0, 0.5, a.shape).astype(np.float32), bert)
    ids = rng.integers(0, 50, (4, 20))
    # Full, cut, a hole in the middle, one token.
    mask = np.arange(20) < np.array([[20], [7], [20], [1]])
    mask[2, 5:9] = False
    theirs = peer("bert", config, ids=ids, mask=mask, **write_weights(bert, bert_table(3)))
    ours = np.asarray(eqx.filter_jit(eqx.filter_vmap(bert))(ids, mask))
    assert _relative(ours[mask], theirs["tokens"][mask]) < 1e-5


@pytest.mark.peer
def test_minilm(peer, minilm):
    captions = ["", "a cat", "woman dancing light skin tone", "flag of " + "long " * 40]
    ids, mask = minilm.tokenize(captions)
    ours = embed(minilm, captions, batch=4)
    theirs = peer(
        "bert",
        {
            "vocab_size": 30522,
            "hidden_size": 384,
            "num_hidden_layers": 6,
            "num_attention_heads": 12,
            "intermediate_size": 1536,
            "max_position_embeddings": 512,
        },
        ids=ids,
        mask=mask,
        **write_weights(minilm.bert, bert_table(6)),
    )["tokens"]
    error = _relative(ours.tokens[mask], theirs[mask])
    print(f"MiniLM against transformers: relative error {error:.1e}")
    assert error < 2e-5


def test_minilm_knows_what_is_alike(minilm):
    words = embed(minilm, ["cat", "kitten", "airplane"], batch=4)
    cat, kitten, airplane = np.asarray(jax.jit(sentence_embedding)(words))
    assert cat @ kitten == pytest.approx(0.788, abs=1e-3)
    assert cat @ airplane == pytest.approx(0.337, abs=1e-3)
