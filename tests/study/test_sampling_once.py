"""A sweep compiles its sampler once: weights, guidance, grid, captions and seeds are arguments."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equildm._types import Latent, NoiseLevel
from equildm.denoise import AbstractDenoiser
from equildm.latents import VAEConfig
from equildm.noise import grids, ScaledLinear
from equildm.sample import TextToImage
from equildm.text import embed, SmallTextEncoder

TRACES = []


class Counting(AbstractDenoiser):
    """Tells when it is traced."""

    scale: Float[Array, ""]

    def __call__(self, y: Latent, s: NoiseLevel, condition) -> Latent:
        TRACES.append(1)
        return y / (1 + s) * self.scale + jnp.mean(condition.tokens) * s / (1 + s)


def test_one_compilation_for_all_points_of_a_model_and_sampler():
    text = SmallTextEncoder(16, 1, 2, length=8, key=jax.random.key(0))
    config = VAEConfig(width=8, multipliers=(1, 1), depth=1, groups=4, scale=1.0)
    vae = config.build(key=jax.random.key(1))
    make = TextToImage(Counting(jnp.array(0.9)), vae, text, (4, 4, config.latent_channels))
    captions = ["a", "b", "c"]
    given = embed(text, captions)
    null = jax.tree.map(lambda leaf: leaf[0], embed(text, [""]))

    def queue(make, weight, steps, seeds):
        levels = grids.pad(grids.trailing(ScaledLinear(), steps), 9)
        weights = jnp.full(3, weight, jnp.float32)
        return make.queue(given, null, weights, levels=levels, seed=0, seeds=seeds)

    first = queue(make, 3.0, 4, np.arange(3))
    traces = len(TRACES)
    assert traces > 0
    for scale, weight, steps in ((0.9, 1.0, 8), (0.5, 0.0, 2), (0.7, 7.5, 1)):
        other = dataclasses.replace(make, denoiser=Counting(jnp.array(scale)))
        pictures = queue(other, weight, steps, np.arange(3, 6))
        assert jnp.isfinite(pictures).all() and not jnp.allclose(pictures, first)
    assert len(TRACES) == traces

    # And it makes the pictures that sample.py makes.
    levels = grids.pad(grids.trailing(ScaledLinear(), 4), 9)
    called = make(captions, levels=levels, weight=3.0, seed=0)
    np.testing.assert_allclose(np.asarray(first), called, atol=1e-5)
