"""The loss of a subject and its class, and of a network with its text encoder."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import called

from equildm._types import TextEmbedding
from equildm.data import LatentBatch, PriorBatch
from equildm.noise import MinSNR
from equildm.text import SmallTextEncoder, TextConditioned
from equildm.text.tokenizer import TokenBatch
from equildm.training import PriorPreservation


def test_prior_preservation_is_its_formula(network, objective, make_batch):
    """Ruiz et al. 2023, equation 2, transcribed in float64 on the same times and noise."""
    objective = eqx.tree_at(lambda o: o.weight, objective, MinSNR())
    batch = PriorBatch(make_batch(0, 3), make_batch(1, 3))
    keys = jax.random.split(jax.random.key(5), 3)
    loss, metrics = eqx.filter_jit(PriorPreservation(objective, 0.7))(network, batch, keys)

    def draw(key):
        """Times, levels and noise of an example of the subject and one of its class."""

        def half(key):
            time_key, noise_key, _ = jax.random.split(key, 3)
            t = objective.times(time_key, objective.schedule)
            return t, objective.schedule.level(t), jax.random.normal(noise_key, (4, 4, 2))

        return jax.vmap(half)(jax.random.split(key, 2))

    t, s, eps = called(jax.vmap(draw), keys)
    s, eps = (np.asarray(values, np.float64) for values in (s, eps))
    alpha, sigma = 1 / np.sqrt(1 + s**2), s / np.sqrt(1 + s**2)
    x0 = np.stack([np.asarray(half.latents, np.float64) for half in batch], 1)
    tokens = jax.device_put(np.stack([np.asarray(half.text.tokens) for half in batch], 1))
    scale, spread = (values[..., None, None, None] for values in (alpha, sigma))
    noisy = np.asarray(scale * x0 + spread * eps, np.float32)

    def predicted(x, t, tokens):
        return network(x, t, TextEmbedding(tokens, jnp.ones(4, bool)))

    out = called(jax.vmap(jax.vmap(predicted)), noisy, t, tokens)
    errors = np.asarray(out, np.float64) - (scale * eps - spread * x0)
    snr = (alpha / sigma) ** 2
    weights = np.minimum(snr, 5.0) / (snr + 1)
    subject, prior = np.mean(weights * np.mean(errors**2, (2, 3, 4)), axis=0)
    np.testing.assert_allclose(metrics["subject"], subject, rtol=2e-5)
    np.testing.assert_allclose(metrics["prior"], prior, rtol=2e-5)
    np.testing.assert_allclose(loss, subject + 0.7 * prior, rtol=2e-5)
    with pytest.raises(ValueError, match="at least 0"):
        PriorPreservation(objective, -1.0)


def test_a_text_encoder_is_trained_with_its_network(network, objective, make_batch):
    encoder = SmallTextEncoder(width=3, depth=1, heads=1, max_tokens=4, key=jax.random.key(3))
    both = TextConditioned(network, encoder)
    words = encoder.tokenize(["a red disc", "", "a blue square", "two"])
    null = jax.tree.map(lambda leaf: jax.device_put(leaf[1]), words)
    assert isinstance(null, TokenBatch)
    batch = jax.device_put(LatentBatch(make_batch(0, 4).latents, words))
    embedded = called(jax.vmap(encoder), batch.text.ids, batch.text.mask)
    keys = jax.random.split(jax.random.key(7), 4)
    empty = TextEmbedding(*(jax.device_put(np.asarray(x)[1]) for x in jax.tree.leaves(embedded)))
    of_text = eqx.tree_at(lambda o: o.null_text, objective, empty)
    expected, _ = called(of_text, network, LatentBatch(batch.latents, embedded), keys)
    of_ids = eqx.tree_at(lambda o: o.null_text, objective, null)
    (loss, _), grads = called(eqx.filter_value_and_grad(of_ids, has_aux=True), both, batch, keys)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert all(np.abs(g).max() > 0 for g in jax.tree.leaves(jax.device_get(grads.network)))
    assert max(np.abs(g).max() for g in jax.tree.leaves(jax.device_get(grads.text))) > 0
