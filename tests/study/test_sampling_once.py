"""A sweep compiles its sampler once: weights, guidance, grid, captions and seeds are arguments."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equildm.denoise import AbstractNetworkConfig
from equildm.interop import Scheduler
from equildm.latents import VAEConfig
from equildm.noise import Clean, grids, ScaledLinear
from equildm.pipeline import LatentDiffusion, ModelConfig, TextToImage
from equildm.text import embed, SmallTextEncoder

TRACES = []


class Counting(eqx.Module):
    """Records each time that it is traced."""

    scale: Float[Array, ""]

    def __call__(self, x, t, condition):
        TRACES.append(1)
        return x * self.scale + jnp.mean(condition.tokens) * t / 1000


def scaled(factor):
    return jax.device_put(np.float32(factor))


@dataclasses.dataclass(frozen=True)
class CountingConfig(AbstractNetworkConfig):
    """Its config."""

    def build(self, *, key):
        return Counting(scaled(0.9))

    @property
    def backbone(self):
        return self


def test_one_compilation_for_all_points_of_a_model_and_sampler():
    text_encoder = SmallTextEncoder(16, 1, 2, max_tokens=8, key=jax.random.key(0))
    vae_config = VAEConfig(width=4, multipliers=(1, 1), depth=1, groups=2, scale=1.0)
    vae = vae_config.build(key=jax.random.key(1))
    config = ModelConfig(
        network=CountingConfig(),
        image_size=8,
        latent_shape=(4, 4, vae_config.latent_channels),
        scheduler=Scheduler(ScaledLinear(), Clean(), spacing="trailing", ends_clean=True),
        max_tokens=8,
    )
    model = LatentDiffusion(Counting(scaled(0.9)), vae, text_encoder, config)
    captions = ["a", "b", "c"]
    conditions = embed(text_encoder, captions)

    def dispatch(model, scale, steps, seeds):
        levels = grids.pad(model.levels(steps, grid="trailing"), 9)
        scales = jax.device_put(np.full(3, scale, np.float32))
        images = TextToImage(model).dispatch(
            conditions, model.null_text(), scales, levels=levels, seed=0, seeds=seeds
        )
        return np.asarray(images)

    first = dispatch(model, 3.0, 4, np.arange(3))
    traces = len(TRACES)
    assert traces > 0
    for factor, scale, steps in ((0.9, 1.0, 8), (0.5, 0.0, 2), (0.7, 7.5, 1)):
        other = model.with_network(Counting(scaled(factor)))
        images = dispatch(other, scale, steps, np.arange(3, 6))
        assert np.isfinite(images).all() and not np.allclose(images, first)
    assert len(TRACES) == traces

    # And it makes the images that sample.py makes.
    levels = grids.pad(grids.trailing(ScaledLinear(), 4), 9)
    called = TextToImage(model)(captions, levels=levels, guidance_scale=3.0, seed=0)
    np.testing.assert_allclose(first, called, atol=1e-5)
