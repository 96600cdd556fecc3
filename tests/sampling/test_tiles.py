"""Latents of any size by tiles: the plain result where a tile sees enough, and no seams."""

import jax.numpy as jnp
import numpy as np
import pytest

from equildm import TextEmbedding
from equildm.denoise import AbstractDenoiser, ImageCondition
from equildm.noise import grids, ScaledLinear
from equildm.sampling import sample, TiledDenoiser

SCHEDULE = ScaledLinear()
TEXT = TextEmbedding(jnp.zeros((2, 3)), jnp.ones(2, bool))


class Smooth(AbstractDenoiser):
    """A clean estimate that looks one position far, at the state and at the image."""

    def __call__(self, y, s, condition):
        y = y / (1 + s**2)
        mean = sum(jnp.roll(y, shift, (0, 1)) for shift in ((0, 0), (0, 1), (1, 0))) / 3
        inside = jnp.pad(mean[1:, 1:], ((1, 0), (1, 0), (0, 0)))
        image = condition.image * (1 + 0.01 * condition.level) + condition.text.tokens[0, 0]
        return 0.5 * inside + 0.8 * image


def drawn(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(40, 24), (17, 33)])
def test_one_estimate_by_tiles_is_the_plain_one(shape):
    y, image = drawn(*shape, 2), drawn(*shape, 2, seed=1)
    condition = ImageCondition(TEXT, image, jnp.asarray(20.0))
    tiled = TiledDenoiser(Smooth(), tile=16, overlap=8)
    plain = Smooth()(y, jnp.asarray(0.7), condition)
    ours = tiled(y, jnp.asarray(0.7), condition)
    np.testing.assert_allclose(ours, plain, atol=1e-6)
    levels = jnp.asarray(grids.trailing(SCHEDULE, 4), jnp.float32)
    at_once, by_tiles = (sample(d, y, levels, condition=condition) for d in (Smooth(), tiled))
    np.testing.assert_allclose(by_tiles, at_once, atol=1e-5)


class Sided(AbstractDenoiser):
    """Disagrees with itself: every tile has a ramp of its own, as networks have errors."""

    def __call__(self, y, s, condition):
        ramp = jnp.arange(y.shape[1], dtype=y.dtype)[None, :, None] / y.shape[1]
        return jnp.broadcast_to(ramp, y.shape) + 0 * condition.image


def test_seams_are_blended():
    y = drawn(16, 64, 1)
    condition = ImageCondition(TEXT, y, jnp.zeros(()))
    estimate = TiledDenoiser(Sided(), 16, 8)(y, jnp.asarray(1.0), condition)[0, :, 0]
    steps = np.abs(np.diff(np.asarray(estimate)))
    assert steps.max() < 0.25  # side by side, tiles would jump by 0.94
