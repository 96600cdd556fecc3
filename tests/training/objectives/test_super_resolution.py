"""Super-resolution's loss beside the loss of the latents that it stands on."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equildm._types import TextEmbedding
from equildm.data import DegradedBatch, LatentBatch
from equildm.images import to_unit
from equildm.latents import upsample, VAEConfig
from equildm.training import SuperResolution


class Beside(eqx.Module):
    """Sees a picture's latent, the level and the caption, each in its own way."""

    network: eqx.Module
    of_picture: jax.Array = eqx.field(converter=jnp.asarray)
    of_level: jax.Array = eqx.field(converter=jnp.asarray)

    def __call__(self, x, t, condition):
        shift = self.of_picture * condition.image + self.of_level * condition.level
        return self.network(x, t, condition.text) + shift


def pictures():
    config = VAEConfig(
        width=4, multipliers=(1, 1), depth=1, latent_channels=2, groups=2, scale=0.5, shift=0.1
    )
    vae = config.build(key=jax.random.key(0))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 8, 8, 3), np.uint8)
    low = rng.integers(0, 256, (3, 4, 4, 3), np.uint8)
    text = TextEmbedding(
        jnp.asarray(rng.standard_normal((3, 4, 3)), jnp.float32), jnp.ones((3, 4), bool)
    )
    return vae, DegradedBatch(jnp.asarray(images), jnp.asarray(low), text)


def test_super_resolution_is_the_loss_of_the_latents_beside_the_small_pictures(network, objective):
    vae, batch = pictures()
    keys = jax.random.split(jax.random.key(2), 3)

    @jax.jit
    def latent(image):
        return (vae.encode(image).mode() - 0.1) * 0.5

    @eqx.filter_jit
    def example(shift, i, key):
        shown = lambda x, t, text: network(x, t, text) + shift
        text = jax.tree.map(lambda leaf: leaf[i], batch.text)
        return objective.example(shown, clean[i], text, key)

    clean = jax.vmap(latent)(to_unit(batch.images))
    small = jax.vmap(lambda low: latent(upsample(to_unit(low), (8, 8))))(batch.low)
    inner = jnp.stack([jax.random.split(key, 3)[2] for key in keys])

    # Blind to the picture, it is the loss of the latents.
    task = SuperResolution(objective, vae, augmentation=0.1)
    augmented, exact = eqx.filter_jit(task), eqx.filter_jit(SuperResolution(objective, vae, 0.0))
    blind, _ = augmented(Beside(network, 0.0, 0.0), batch, keys)
    expected, _ = eqx.filter_jit(objective)(network, LatentBatch(clean, batch.text), inner)
    np.testing.assert_allclose(blind, expected, rtol=1e-5)

    # Seeing it as it is.
    for level in (0.0, 1.0):
        seen, _ = exact(Beside(network, 0.3, level), batch, keys)
        truth = [example(0.3 * small[i], jnp.asarray(i), inner[i]) for i in range(3)]
        np.testing.assert_allclose(seen, np.mean(truth), rtol=1e-5)

    # Noised to a time that the network is conditioned on.
    schedule = objective.schedule
    truth = []
    for i, key in enumerate(keys):
        level_key, noise_key, rest = jax.random.split(key, 3)
        level = jax.random.uniform(level_key) * 0.1 * 1000
        noise = jax.random.normal(noise_key, small[i].shape)
        noised = schedule.alpha(level) * small[i] + schedule.sigma(level) * noise
        shift = 0.3 * noised + 0.01 * level
        truth.append(example(shift, jnp.asarray(i), rest))
    noisy, _ = augmented(Beside(network, 0.3, 0.01), batch, keys)
    np.testing.assert_allclose(noisy, np.mean(truth), rtol=1e-5)
    with pytest.raises(ValueError, match="share of the schedule"):
        SuperResolution(objective, vae, 1.0)
    with pytest.raises(ValueError, match="integer factor"):
        upsample(to_unit(batch.images[0]), (12, 16))
