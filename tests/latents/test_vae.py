import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import others_slow

from equildm.interop.autoencoder import autoencoder_table
from equildm.interop.mapping import write_weights
from equildm.latents import VAEConfig
from equildm.runtime import count_parameters

TINY = VAEConfig(
    width=8, multipliers=(1, 2, 4), depth=1, latent_channels=3, groups=4, scale=0.5, shift=0.25
)
GREY = VAEConfig(width=16, multipliers=(2, 1), depth=1, image_channels=1, groups=16)


@pytest.fixture(scope="module")
def vae():
    return TINY.build(key=jax.random.key(0))


def _normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _shaken(vae):
    """Norms start as ones and zeros, which would hide a swapped pair."""
    draw = np.random.default_rng(7)

    def shaken(a):
        noise = 0.1 * draw.standard_normal(a.shape).astype(np.float32)
        return np.asarray(a) + noise

    return jax.tree.map(lambda a: shaken(a) if a.ndim == 1 else a, vae)


@pytest.mark.parametrize(
    "config",
    others_slow(
        [
            TINY,
            VAEConfig(width=32, multipliers=(1, 1, 2), depth=2, latent_channels=4, groups=8),
            GREY,
        ],
        GREY,
    ),
)
def test_agrees_with_diffusers(peer, config):
    vae = _shaken(config.build(key=jax.random.key(1)))
    image = _normal(2, 24, 16, config.image_channels)
    latent = _normal(3, 5, 4, config.latent_channels)
    theirs = peer(
        "vae",
        config={
            "in_channels": config.image_channels,
            "out_channels": config.image_channels,
            "latent_channels": config.latent_channels,
            "block_out_channels": [config.width * m for m in config.multipliers],
            "layers_per_block": config.depth,
            "norm_num_groups": config.groups,
        },
        image=image,
        latent=latent,
        **write_weights(vae, autoencoder_table(config)),
    )
    posterior = eqx.filter_jit(vae.encode)(image)
    decoded = eqx.filter_jit(vae.decode)(latent)
    np.testing.assert_allclose(posterior.mean, theirs["mean"], atol=2e-5)
    np.testing.assert_allclose(posterior.log_variance, theirs["log_variance"], atol=2e-5)
    np.testing.assert_allclose(decoded, theirs["decoded"], atol=2e-5)


def test_defaults_have_stable_diffusions_size():
    shapes = eqx.filter_eval_shape(VAEConfig().build, key=jax.random.key(0))
    assert count_parameters(shapes) == 83_653_863


def test_factor_and_channels(vae):
    assert vae.factor == TINY.factor == 4
    assert (vae.latent_channels, vae.image_channels) == (3, 3)
    assert VAEConfig().factor == 8


def test_posterior_has_latent_shape_and_clipped_variance(vae):
    bias = np.asarray(vae.quant_conv.bias)
    large = np.concatenate([bias[:3], np.float32([-1e3, 1e3, 0.0])])
    vae = eqx.tree_at(lambda v: v.quant_conv.bias, vae, large)
    posterior = eqx.filter_jit(vae.encode)(np.zeros((8, 12, 3)))
    assert posterior.mean.shape == posterior.log_variance.shape == (2, 3, 3)
    log_variance = np.asarray(posterior.log_variance)
    assert np.all(log_variance[..., 0] == -30.0)
    assert np.all(log_variance[..., 1] == 20.0)


def test_scaled_latents_are_shifted_then_multiplied(vae):
    z = _normal(4, 2, 2, 3)
    scaled, back = eqx.filter_jit(lambda z: (vae.scaled(z), vae.unscaled(vae.scaled(z))))(z)
    np.testing.assert_allclose(scaled, (z - 0.25) * 0.5, rtol=1e-6)
    np.testing.assert_allclose(back, z, rtol=1e-5)


def test_bfloat16_in_bfloat16_out(vae):
    def there_and_back(vae):
        posterior = vae.encode(jnp.zeros((8, 8, 3), jnp.bfloat16))
        sample = posterior.sample(jax.random.key(0))
        return (posterior.mean, sample, vae.decode(sample)), posterior.kl()

    halves, kl = eqx.filter_eval_shape(there_and_back, vae)
    assert [x.dtype for x in halves] == [jnp.bfloat16] * 3 and kl.dtype == jnp.float32


@pytest.mark.parametrize(
    ("shape", "words"),
    [((8, 8, 4), "images of 3 channels"), ((8, 6, 3), "received 8x6"), ((6, 8, 3), "received 6x8")],
)
def test_images_that_do_not_fit_are_errors(vae, shape, words):
    with pytest.raises(ValueError, match=words):
        vae.encode(jnp.zeros(shape))


def test_latents_of_another_vae_are_errors(vae):
    with pytest.raises(ValueError, match="latents of 3 channels"):
        vae.decode(jnp.zeros((2, 2, 4)))


@pytest.mark.parametrize(
    ("sizes", "words"),
    [({"groups": 3}, "divide by the norm's groups"), ({"depth": 0}, "at least one level")],
)
def test_sizes_that_cannot_be_built_are_errors(sizes, words):
    with pytest.raises(ValueError, match=words):
        VAEConfig(width=8, **{"groups": 4, **sizes}).build(key=jax.random.key(0))
