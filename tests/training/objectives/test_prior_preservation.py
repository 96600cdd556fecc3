"""The loss of a subject and its class, and of a network with its text encoder."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

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

    def transcribed(latent, tokens, key):
        time_key, noise_key, _ = jax.random.split(key, 3)
        t = objective.times(time_key, objective.schedule)
        s = float(objective.schedule.level(t))
        alpha, sigma = 1 / np.sqrt(1 + s**2), s / np.sqrt(1 + s**2)
        x0 = np.asarray(latent, np.float64)
        eps = np.asarray(jax.random.normal(noise_key, x0.shape, jnp.float32), np.float64)
        text = TextEmbedding(tokens, jnp.ones(4, bool))
        out = network(jnp.asarray(alpha * x0 + sigma * eps, jnp.float32), t, text)
        snr = (alpha / sigma) ** 2
        weight = min(snr, 5.0) / (snr + 1)
        return weight * np.mean((np.asarray(out, np.float64) - (alpha * eps - sigma * x0)) ** 2)

    pairs = [jax.random.split(key, 2) for key in keys]
    subject, prior = (
        np.mean(
            [transcribed(half.latents[i], half.text.tokens[i], pairs[i][side]) for i in range(3)]
        )
        for side, half in enumerate(batch)
    )
    np.testing.assert_allclose(metrics["subject"], subject, rtol=2e-5)
    np.testing.assert_allclose(metrics["prior"], prior, rtol=2e-5)
    np.testing.assert_allclose(loss, subject + 0.7 * prior, rtol=2e-5)
    with pytest.raises(ValueError, match="at least 0"):
        PriorPreservation(objective, -1.0)


def test_a_text_encoder_is_trained_with_its_network(network, objective, make_batch):
    encoder = SmallTextEncoder(width=3, depth=1, heads=1, max_tokens=4, key=jax.random.key(3))
    both = TextConditioned(network, encoder)
    words = encoder.tokenize(["a red disc", "", "a blue square", "two"])
    null = jax.tree.map(lambda leaf: jnp.asarray(leaf[1]), words)
    assert isinstance(null, TokenBatch)
    embedded = jax.jit(jax.vmap(encoder))(jnp.asarray(words.ids), jnp.asarray(words.mask))
    latents = make_batch(0, 4).latents
    keys = jax.random.split(jax.random.key(7), 4)
    of_text = eqx.tree_at(
        lambda o: o.null_text, objective, jax.tree.map(lambda leaf: leaf[1], embedded)
    )
    expected, _ = eqx.filter_jit(of_text)(network, LatentBatch(latents, embedded), keys)
    of_ids = eqx.tree_at(lambda o: o.null_text, objective, null)
    batch = jax.tree.map(jnp.asarray, LatentBatch(latents, words))
    value_and_grad = eqx.filter_jit(eqx.filter_value_and_grad(of_ids, has_aux=True))
    (loss, _), grads = value_and_grad(both, batch, keys)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert all(float(jnp.abs(g).max()) > 0 for g in jax.tree.leaves(grads.network))
    assert max(float(jnp.abs(g).max()) for g in jax.tree.leaves(grads.text)) > 0
