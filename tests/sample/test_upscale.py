"""Pictures of any size by tiles: the plain result where a tile sees enough, and no seams."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from equildm import TextEmbedding
from equildm.denoise import AbstractDenoiser, PictureCondition
from equildm.latents import VAEConfig
from equildm.noise import grids, ScaledLinear
from equildm.sample import recoloured, sample, TiledDenoiser, Upscaler

SCHEDULE = ScaledLinear()
TEXT = TextEmbedding(jnp.zeros((2, 3)), jnp.ones(2, bool))


class Smooth(AbstractDenoiser):
    """A clean estimate that looks one position far, at the state and at the picture."""

    def __call__(self, y, s, condition):
        y = y / (1 + s**2)
        mean = sum(jnp.roll(y, shift, (0, 1)) for shift in ((0, 0), (0, 1), (1, 0))) / 3
        inside = jnp.pad(mean[1:, 1:], ((1, 0), (1, 0), (0, 0)))
        picture = condition.picture * (1 + 0.01 * condition.level) + condition.text.tokens[0, 0]
        return 0.5 * inside + 0.8 * picture


def drawn(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


@pytest.mark.parametrize("shape", [(40, 24), (17, 33)])
def test_one_estimate_by_tiles_is_the_plain_one(shape):
    y, picture = drawn(*shape, 2), drawn(*shape, 2, seed=1)
    condition = PictureCondition(TEXT, picture, jnp.asarray(20.0))
    tiled = TiledDenoiser(Smooth(), tile=16, overlap=8)
    plain = Smooth()(y, jnp.asarray(0.7), condition)
    ours = tiled(y, jnp.asarray(0.7), condition)
    np.testing.assert_allclose(ours, plain, atol=1e-6)
    levels = jnp.asarray(grids.trailing(SCHEDULE, 4), jnp.float32)
    whole, by_tiles = (sample(d, y, levels, condition=condition) for d in (Smooth(), tiled))
    np.testing.assert_allclose(by_tiles, whole, atol=1e-5)


class Sided(AbstractDenoiser):
    """Disagrees with itself: every tile has a ramp of its own, as networks have errors."""

    def __call__(self, y, s, condition):
        ramp = jnp.arange(y.shape[1], dtype=y.dtype)[None, :, None] / y.shape[1]
        return jnp.broadcast_to(ramp, y.shape) + 0 * condition.picture


def test_seams_are_blended():
    y = drawn(16, 64, 1)
    condition = PictureCondition(TEXT, y, jnp.zeros(()))
    made = TiledDenoiser(Sided(), 16, 8)(y, jnp.asarray(1.0), condition)[0, :, 0]
    steps = np.abs(np.diff(np.asarray(made)))
    assert steps.max() < 0.25  # side by side, tiles would jump by 0.94


@pytest.fixture(scope="module")
def upscaler():
    config = VAEConfig(width=4, multipliers=(1, 1), depth=1, latent_channels=2, groups=2)
    vae = config.build(key=jax.random.key(0))
    return Upscaler(Smooth(), vae, SCHEDULE, TEXT, scale=4, tile=8, multiple=4)


@pytest.mark.parametrize("size", [(1, 3), (5, 7)])
def test_pictures_of_any_size_and_the_same_again(upscaler, size):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    levels = grids.trailing(SCHEDULE, 2)
    large = upscaler(picture, levels=levels, seed=3)
    assert large.shape == (4 * size[0], 4 * size[1], 3) and large.dtype == np.float32
    assert np.isfinite(large).all()
    np.testing.assert_array_equal(large, upscaler(picture, levels=levels, seed=3))
    if size == (5, 7):
        assert not np.array_equal(large, upscaler(picture, levels=levels, seed=4))
        assert not np.array_equal(large, upscaler(picture, levels=levels, seed=3, level=200.0))
        told = TextEmbedding(TEXT.tokens + 1, TEXT.mask)
        assert not np.array_equal(large, upscaler(picture, levels=levels, seed=3, text=told))
        twice = upscaler(picture, levels=levels, seed=3, text=told, weight=2.0)
        once = upscaler(picture, levels=levels, seed=3, text=told)
        assert not np.array_equal(once, twice)


def test_a_model_without_augmentation_takes_pictures_as_they_are(upscaler):
    plain = eqx.tree_at(lambda u: u.null_text, upscaler, TEXT)
    plain = Upscaler(plain.denoiser, plain.vae, SCHEDULE, TEXT, 4, 8, 4, False)
    picture = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match="as they are, received level 10"):
        plain(picture, levels=grids.trailing(SCHEDULE, 2), level=10.0)


def test_colours_of_the_small_picture_come_back():
    large, small = drawn(24, 32, 3), drawn(6, 8, 3, seed=1)
    ours = recoloured(large, small, 1.5)
    means = np.asarray(large).reshape(6, 4, 8, 4, 3).mean((1, 3))
    blurred = gaussian_filter(np.asarray(small) - means, (1.5, 1.5, 0), mode="nearest")
    difference = jax.image.resize(jnp.asarray(blurred), (24, 32, 3), "cubic")
    np.testing.assert_allclose(ours, large + difference, atol=1e-5)
    cast = jnp.array([0.3, -0.2, 0.1])
    np.testing.assert_allclose(recoloured(large + cast, small, 1.5), ours, atol=1e-5)


def test_an_upscaler_takes_the_colours_when_told(upscaler):
    picture = np.random.default_rng(0).integers(0, 256, (4, 8, 3), np.uint8)
    options = {"levels": grids.trailing(SCHEDULE, 2), "seed": 3}
    plain, coloured = (upscaler(picture, recolour=width, **options) for width in (0.0, 1.0))
    small = jnp.asarray(picture, jnp.float32) / 127.5 - 1
    np.testing.assert_allclose(coloured, recoloured(jnp.asarray(plain), small, 1.0), atol=1e-5)
    with pytest.raises(ValueError, match="width of 0 or more, received -1"):
        upscaler(picture, recolour=-1.0, **options)
