"""Images of any size to larger ones: their size, their seeds, and what the options do."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from equildm import TextEmbedding
from equildm.denoise import AbstractDenoiser, AbstractNetworkConfig, ConcatConfig, ImageCondition
from equildm.interop import Scheduler
from equildm.interop.scheduler_file import parse_scheduler
from equildm.latents import VAEConfig
from equildm.noise import grids, NoiseConfig, ScaledLinear
from equildm.pipeline import (
    backbone_for,
    color_fix,
    LatentDiffusion,
    ModelConfig,
    new_model,
    new_upscaler,
    Upscaler,
    UpscalerConfig,
)
from equildm.runtime import make_mesh
from equildm.text import SmallTextEncoder

SCHEDULE = ScaledLinear()


class Blend(AbstractDenoiser):
    """A clean estimate between the state and the image, whose level and text it sees."""

    def __call__(self, y, s, condition):
        y = y / (1 + s**2)
        image = condition.image * (1 + 0.01 * condition.level) + condition.text.tokens[0, 0]
        return 0.5 * y + 0.8 * image


@dataclasses.dataclass(frozen=True)
class BlendConfig(AbstractNetworkConfig):
    def build(self, *, key):
        return jnp.asarray

    @property
    def backbone(self):
        return self

    @property
    def multiple(self):
        return 4

    def denoiser(self, network, schedule, prediction, compute=None):
        return Blend()


@pytest.fixture(scope="module")
def parts():
    config = VAEConfig(width=4, multipliers=(1, 1), depth=1, latent_channels=2, groups=2)
    vae = config.build(key=jax.random.key(0))
    return vae, SmallTextEncoder(width=4, depth=1, heads=1, max_tokens=2, key=jax.random.key(1))


def upscaler_of(parts, augmentation=0.1):
    network = UpscalerConfig(ConcatConfig(BlendConfig(), 2), scale=4, augmentation=augmentation)
    config = ModelConfig(
        network=network,
        image_size=16,
        latent_shape=(8, 8, 2),
        scheduler=Scheduler(SCHEDULE, spacing="trailing", ends_clean=True),
        max_tokens=2,
        sampling_steps=2,
        guidance_scale=1.0,
    )
    return Upscaler(LatentDiffusion(jnp.asarray, *parts, config))


@pytest.fixture(scope="module")
def upscaler(parts):
    return upscaler_of(parts)


def drawn(*size):
    return np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)


@pytest.mark.parametrize("size", [pytest.param((1, 3), marks=pytest.mark.slow), (5, 7)])
def test_images_of_any_size_and_the_same_again(upscaler, size):
    image = drawn(*size)
    large = upscaler(image, seed=3)
    assert large.shape == (4 * size[0], 4 * size[1], 3) and large.dtype == np.float32
    assert np.isfinite(large).all()
    np.testing.assert_array_equal(large, upscaler(image, seed=3))
    levels = grids.trailing(SCHEDULE, 2)
    np.testing.assert_array_equal(large, upscaler(image, seed=3, levels=levels))
    np.testing.assert_array_equal(large, upscaler(image, seed=3, solver="ddim", steps=2))
    if size == (5, 7):
        assert not np.array_equal(large, upscaler(image, seed=4))
        assert not np.array_equal(large, upscaler(image, seed=3, noise_level=100.0))
        null = upscaler.null_text
        text = TextEmbedding(null.tokens + 1, null.mask)
        once = upscaler(image, seed=3, text=text)
        assert not np.array_equal(large, once)
        assert not np.array_equal(once, upscaler(image, seed=3, text=text, guidance_scale=2.0))


def test_it_is_sampled_as_the_file_of_its_scheduler_says(parts):
    """Euler's file starts from less than the whole noise: that factor was left out."""
    fields = {"_class_name": "EulerDiscreteScheduler", "beta_start": 1e-5, "beta_end": 1e-3}
    config = dataclasses.replace(upscaler_of(parts).model.config, scheduler=parse_scheduler(fields))
    config = dataclasses.replace(config, solver=config.scheduler.sampler)
    model = dataclasses.replace(upscaler_of(parts).model, config=config)
    sampling, image = config.scheduler.sampling(2), drawn(1, 3)
    assert sampling.noise_scale < 0.7
    large = Upscaler(model)(image)
    whole_noise = Upscaler(model)(image, levels=sampling.levels, solver=sampling.solver)
    assert np.abs(large - whole_noise).max() > 1e-3


def test_a_batch_is_each_image_by_itself(upscaler):
    images = drawn(2, 5, 7)
    large = upscaler.batch(images, steps=2)
    assert large.shape == (2, 20, 28, 3)
    for seed, (image, one) in enumerate(zip(images, large, strict=True)):
        np.testing.assert_array_equal(upscaler(image, seed=seed), one)
    other = upscaler.batch(images, seeds=[1, 0])
    np.testing.assert_array_equal(upscaler(images[0], seed=1), other[0])
    with pytest.raises(ValueError, match="2 images and 1 seeds"):
        upscaler.batch(images, seeds=[1])
    with pytest.raises(ValueError, match="0 images and 0 seeds"):
        upscaler.batch(images[:0])


def test_a_model_without_augmentation_takes_images_as_they_are(parts):
    with pytest.raises(ValueError, match="from 0 to 0, received noise_level 10"):
        upscaler_of(parts, augmentation=0.0)(drawn(4, 4), noise_level=10.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise_level": -1.0}, "from 0 to [0-9]+, received noise_level -1"),
        ({"noise_level": 1e4}, "received noise_level 10000"),
        ({"noise_level": float("nan")}, "received noise_level nan"),
        ({"guidance_scale": float("nan")}, "finite number"),
        ({"color_fix": float("inf")}, "received inf"),
    ],
)
def test_numbers_that_make_no_image_are_refused(upscaler, options, message):
    with pytest.raises(ValueError, match=message):
        upscaler(drawn(4, 4), **options)


@pytest.mark.parametrize("pixels", [drawn(4, 4)[None], drawn(4, 4)[:0], drawn(4, 4)[..., 0]])
def test_other_shapes_are_refused(upscaler, pixels, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="takes one image"):
        upscaler(pixels)


@pytest.mark.slow
def test_colours_of_the_small_image_are_taken_on_request(upscaler):
    image = drawn(4, 8)
    plain, fixed = (upscaler(image, seed=3, color_fix=width) for width in (0.0, 1.0))
    small = jnp.asarray(image, jnp.float32) / 127.5 - 1
    np.testing.assert_allclose(fixed, color_fix(jnp.asarray(plain), small, 1.0), atol=1e-5)
    with pytest.raises(ValueError, match="width of 0 or more, received -1"):
        upscaler(image, color_fix=-1.0)


def test_a_new_upscaler_is_its_start_and_ignores_the_image(parts):
    vae, text_encoder = parts
    levels = {"multipliers": (1,), "depths": (1,), "transformer_depths": (1,)}
    unet = dataclasses.replace(backbone_for("unet", 8, vae, text_encoder), **levels)
    start = new_model(unet, vae, text_encoder, image_size=16, noise=NoiseConfig(), mesh=make_mesh())
    with pytest.raises(ValueError, match="takes a model of super_resolution"):
        Upscaler(start)
    model = new_upscaler(start, scale=2, augmentation=0.0)
    assert Upscaler(model).config == model.config.network
    assert (model.config.network.scale, model.config.network.augmentation) == (2, 0.0)
    shape = (2, *model.config.latent_shape)
    noise, image = jax.device_put(
        tuple(np.random.default_rng(0).standard_normal(shape, np.float32))
    )
    text, t = model.null_text(), jnp.asarray(500.0)

    @eqx.filter_jit
    def outputs(start, network):
        condition = ImageCondition(text, image, jnp.asarray(50.0))
        return start(noise, t, text), network(noise, t, condition)

    before, after = outputs(start.network, model.network)
    np.testing.assert_allclose(after, before, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "noise"),
    [
        ("dit", NoiseConfig(schedule="rectified-flow", prediction="flow")),
        ("mmdit", NoiseConfig(schedule="edm", prediction="edm")),
    ],
)
def test_transformers_and_other_processes_enlarge_images(parts, backbone, noise):
    sizes = dataclasses.replace(backbone_for(backbone, "tiny", *parts), depth=1)
    start = new_model(sizes, *parts, image_size=16, noise=noise, mesh=make_mesh())
    upscaler = Upscaler(new_upscaler(start, scale=2, augmentation=0.1))
    large = upscaler(drawn(3, 5), steps=2)
    assert large.shape == (6, 10, 3) and np.isfinite(large).all() and np.ptp(large) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [({"scale": 1}, "at least 2, received 1"), ({"augmentation": 1.0}, r"\[0, 1\), received 1")],
)
def test_what_cannot_work_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        UpscalerConfig(ConcatConfig(BlendConfig(), 2), **options)
