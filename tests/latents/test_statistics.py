"""The scale of latents, and images through a VAE and back."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import others_slow

from equildm.latents import latent_statistics, reconstruct, VAEConfig

CONFIG = VAEConfig(width=4, multipliers=(1,), depth=1, latent_channels=2, groups=2)
IMAGES = np.random.default_rng(0).uniform(-1, 1, (5, 8, 8, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def vae():
    return CONFIG.build(key=jax.random.key(0))


@pytest.mark.parametrize("batch", others_slow([2, 5, 64], 5))
def test_scaled_latents_have_mean_0_and_variance_1(vae, batch):
    mean, deviation = latent_statistics(vae, IMAGES, batch=batch)
    encode = eqx.filter_jit(lambda image: vae.encode(image).mode())
    latents = np.stack([encode(image) for image in IMAGES])
    np.testing.assert_allclose((mean, deviation), (latents.mean(), latents.std()), rtol=1e-5)
    scaled = vae.with_scale(1 / deviation, mean)
    assert scaled.config == VAEConfig(**vars(CONFIG) | {"scale": 1 / deviation, "shift": mean})
    latents = np.asarray(jax.jit(jax.vmap(scaled.scaled))(latents))
    np.testing.assert_allclose((latents.mean(), latents.std()), (0, 1), atol=1e-5)
    for ours, theirs in zip(jax.tree.leaves(scaled), jax.tree.leaves(vae), strict=True):
        assert ours is theirs


def test_images_go_through_one_by_one(vae):
    ours = reconstruct(vae, jnp.asarray(IMAGES))
    one = jax.jit(lambda image: vae.decode(vae.encode(image).mode()))(IMAGES[3])
    np.testing.assert_allclose(np.asarray(ours)[3], one, atol=1e-5)
