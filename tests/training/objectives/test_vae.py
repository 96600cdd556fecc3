"""The losses of a VAE: their terms, and what each of two networks follows."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import called

from equildm.data import ImageBatch
from equildm.images import to_unit
from equildm.latents import discriminator_loss, PatchDiscriminator, VAEConfig
from equildm.runtime import Policy
from equildm.training import AdversarialObjective, AdversarialVAE, VAEObjective


def _distance(a, b):
    return jnp.mean((a - b) ** 2)


@pytest.fixture(scope="module")
def vae():
    config = VAEConfig(width=4, multipliers=(1,), depth=1, latent_channels=2, groups=2)
    return config.build(key=jax.random.key(0))


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    return ImageBatch(jax.device_put(rng.integers(0, 256, (4, 16, 16, 3), np.uint8)))


KEYS = jax.random.split(jax.random.key(1), 4)


@pytest.fixture(scope="module")
def terms(vae, batch):
    """L1, mean squared difference and KL of each image, in float64."""
    images = np.asarray(batch.images, np.float64) / 127.5 - 1

    def one(image, key):
        posterior = vae.encode(image)
        return vae.decode(posterior.sample(key)), posterior.kl()

    decoded, kl = called(jax.vmap(one), jax.device_put(np.float32(images)), KEYS)
    errors = np.asarray(decoded, np.float64) - images
    return *(x.mean((1, 2, 3)) for x in (np.abs(errors), errors**2)), np.asarray(kl, np.float64)


def test_loss_is_the_weighted_sum_of_its_terms(vae, batch, terms):
    objective = VAEObjective(_distance, perceptual_weight=0.5, kl_weight=0.1)
    loss, metrics = called(objective, vae, batch, KEYS)
    l1, lpips, kl = terms
    np.testing.assert_allclose(metrics["l1"], np.mean(l1), rtol=1e-5)
    np.testing.assert_allclose(metrics["lpips"], np.mean(lpips), rtol=1e-5)
    np.testing.assert_allclose(metrics["kl"], np.mean(kl), rtol=1e-5)
    expected = np.mean(l1) + 0.5 * np.mean(lpips) + 0.1 * np.mean(kl)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_perceptual_term_takes_the_first_share(vae, batch, terms):
    _, part = called(VAEObjective(_distance, perceptual_share=0.25), vae, batch, KEYS)
    _, lpips, _ = terms
    np.testing.assert_allclose(part["lpips"], lpips[0], rtol=1e-5)


def test_floats_pass_and_no_perceptual_term_is_none(vae, batch):
    objective = VAEObjective(None)
    floats = jax.device_put(to_unit(np.asarray(batch.images)))
    loss, metrics = called(objective, vae, ImageBatch(floats), KEYS)
    assert set(metrics) == {"l1", "kl"}
    np.testing.assert_allclose(loss, called(objective, vae, batch, KEYS)[0], rtol=1e-6)


def test_bfloat16_is_close_and_the_loss_is_float32(vae, batch):
    loss, _ = called(VAEObjective(None, policy=Policy("bfloat16")), vae, batch, KEYS)
    assert loss.dtype == jnp.float32
    plain, _ = called(VAEObjective(None), vae, batch, KEYS)
    np.testing.assert_allclose(loss, plain, rtol=0.02)


@pytest.mark.slow
def test_training_lowers_the_loss(vae):
    objective, optimizer = VAEObjective(None), optax.adam(3e-3)

    @eqx.filter_jit
    def step(vae, state):
        (loss, _), grads = eqx.filter_value_and_grad(objective, has_aux=True)(vae, smooth, KEYS)
        updates, state = optimizer.update(grads, state)
        return eqx.apply_updates(vae, updates), state, loss

    colours = np.random.default_rng(0).integers(0, 256, (4, 1, 1, 3), np.uint8)
    smooth = ImageBatch(jnp.asarray(np.broadcast_to(colours, (4, 16, 16, 3))))
    state, losses = optimizer.init(eqx.filter(vae, eqx.is_array)), []
    for _ in range(40):
        vae, state, loss = step(vae, state)
        losses.append(float(loss))
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.slow
def test_each_player_follows_its_own_loss(batch):
    config = VAEConfig(width=2, multipliers=(1,), depth=1, latent_channels=2, groups=1)
    vae = config.build(key=jax.random.key(3))
    batch = ImageBatch(batch.images[:, :8, :8])
    discriminator = PatchDiscriminator(2, layers=1, groups=1, key=jax.random.key(2))
    reconstruction = VAEObjective(_distance)
    objective = AdversarialObjective(reconstruction, weight=0.3)
    both = AdversarialVAE(vae, discriminator)
    images = jnp.asarray(batch.images, jnp.float32) / 127.5 - 1

    def vae_loss(vae):
        fake, _ = reconstruction.reconstruct(vae, images, KEYS)
        return reconstruction(vae, batch, KEYS)[0] - 0.3 * jnp.mean(jax.vmap(discriminator)(fake))

    def discriminators_loss(discriminator):
        fake, _ = reconstruction.reconstruct(vae, images, KEYS)
        return discriminator_loss(jax.vmap(discriminator)(images), jax.vmap(discriminator)(fake))

    def gradients(both):
        ours = eqx.filter_grad(lambda m: objective(m, batch, KEYS)[0])(both)
        alone = (
            eqx.filter_grad(vae_loss)(both.vae),
            eqx.filter_grad(discriminators_loss)(both.discriminator),
        )
        return (ours.vae, ours.discriminator), alone

    ours, alone = called(gradients, both)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: VAEObjective(None, perceptual_share=0.0), "share of the batch"),
        (lambda: VAEObjective(None, kl_weight=-1.0), "not negative"),
        (lambda: AdversarialObjective(VAEObjective(None), weight=-1.0), "not negative"),
    ],
)
def test_weights_that_cannot_be_are_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()
