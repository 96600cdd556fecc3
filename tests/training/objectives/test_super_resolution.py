"""Super-resolution's loss beside the loss of the latents that it stands on."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equildm._types import TextEmbedding
from equildm.data import DegradedBatch
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


SHARES = (0.0, 0.1)
"""Of the schedule: the picture as it is, and noised to a time that the network is told."""


@pytest.fixture(scope="module")
def vae():
    config = VAEConfig(
        width=4, multipliers=(1,), depth=1, latent_channels=2, groups=2, scale=0.5, shift=0.1
    )
    return config.build(key=jax.random.key(0))


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    images, low = (rng.integers(0, 256, (3, side, side, 3), np.uint8) for side in (4, 2))
    tokens = rng.standard_normal((3, 4, 3)).astype(np.float32)
    images, low, *text = jax.device_put((images, low, tokens, np.ones((3, 4), bool)))
    return DegradedBatch(images, low, TextEmbedding(*text))


def test_super_resolution_is_the_loss_of_the_latents_beside_the_small_pictures(
    network, objective, vae, batch
):
    keys = jax.random.split(jax.random.key(2), 3)
    schedule = objective.schedule

    @jax.jit
    def truth(augmentation, of_picture, of_level):
        """The loss of the latents, with the small pictures added outside of the network."""

        def example(image, low, text, key):
            level_key, noise_key, rest = jax.random.split(key, 3)
            clean, small = jax.vmap(lambda image: (vae.encode(image).mode() - 0.1) * 0.5)(
                jnp.stack([to_unit(image), upsample(to_unit(low), (4, 4))])
            )
            level = jax.random.uniform(level_key) * augmentation * 1000
            noise = jax.random.normal(noise_key, small.shape)
            noised = schedule.alpha(level) * small + schedule.sigma(level) * noise
            shift = of_picture * jnp.where(augmentation > 0, noised, small) + of_level * level
            shown = lambda x, t, text: network(x, t, text) + shift
            return objective.example(shown, clean, text, rest)

        return jnp.mean(jax.vmap(example)(batch.images, batch.low, batch.text, keys))

    @eqx.filter_jit
    def losses(model):
        """One program encodes once for both."""
        return [SuperResolution(objective, vae, share)(model, batch, keys)[0] for share in SHARES]

    for of_picture, of_level in (
        (0.0, 0.0),  # blind to the picture
        (0.3, 0.0),
        (0.3, 1.0),
        (0.3, 0.01),
    ):
        values = losses(Beside(network, of_picture, of_level))
        expected = [truth(share, of_picture, of_level) for share in SHARES]
        np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_what_cannot_be_is_refused(objective, vae, batch):
    with pytest.raises(ValueError, match="share of the schedule"):
        SuperResolution(objective, vae, 1.0)
    with pytest.raises(ValueError, match="integer factor"):
        upsample(jnp.zeros((4, 4, 3)), (6, 8))
