"""Prompts to images: batches, seeds, scales, and models that are none of captions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from model_folders import clip_model, ONE_LEVEL

from equildm.denoise import GuidanceEmbeddingConfig, UNetConfig
from equildm.pipeline import new_upscaler, text_to_image, TextToImage
from equildm.pretrained import stable_diffusion
from equildm.sampling import DDIM
from equildm.text import embed

PROMPTS = ["a cat", "a dog", "a cat"]
OPTIONS = {"steps": 2, "guidance_scale": 3}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return clip_model(tmp_path_factory.mktemp("tokenizer"), ONE_LEVEL)


@pytest.fixture(scope="module")
def images(model):
    return TextToImage(model)(PROMPTS, **OPTIONS)


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_an_image_depends_on_its_prompt_and_its_seed_alone(model, images):
    text_to_image = TextToImage(model)
    assert images.shape == (3, 16, 16, 3) and len(np.unique(images)) > 1000
    more, seeds = [*PROMPTS, *PROMPTS[:2]], [0, 1, 2, 0, 1]
    in_batches = text_to_image(more, seeds=seeds, batch_size=3, **OPTIONS)
    close(in_batches, [*images, *images[:2]])  # the last batch is padded
    close(text_to_image(PROMPTS[::-1], seeds=[2, 1, 0], **OPTIONS), images[::-1])
    assert np.abs(images[0] - images[2]).max() > 0.1
    again = text_to_image(PROMPTS, seed=1, **OPTIONS)
    assert np.abs(again - images).max() > 0.1


def test_defaults_are_the_models(model, images):
    config = dataclasses.replace(model.config, sampling_steps=2, guidance_scale=3.0)
    theirs = TextToImage(dataclasses.replace(model, config=config))
    np.testing.assert_array_equal(theirs(PROMPTS), images)
    levels = model.levels(2)
    named = TextToImage(model)(PROMPTS, levels=levels, solver=DDIM(), guidance_scale=3)
    np.testing.assert_array_equal(named, images)


def test_a_prompt_that_is_cut_is_warned_of(model):
    longest = model.text_encoder.max_tokens
    prompt = "a cat " * longest
    with pytest.warns(UserWarning, match=rf"at most {longest} tokens here; 1 of 3 .* are cut"):
        TextToImage(model)(["a dog", prompt, "a cat"], **OPTIONS)


@pytest.mark.slow
def test_every_image_has_its_own_scale(model, images):
    mixed = TextToImage(model)(PROMPTS, steps=2, guidance_scale=[3, 1, 0])
    close(mixed[0], images[0])
    for i, scale in ((1, 1), (2, 0)):
        alone = TextToImage(model)([PROMPTS[i]], steps=2, guidance_scale=scale, seeds=[i])
        close(mixed[i], alone[0])
    blank = TextToImage(model)([""], steps=2, guidance_scale=1, seeds=[2])
    close(mixed[2], blank[0])  # scale 0 is the empty caption


@pytest.mark.slow
def test_cfg_plus_plus(model):
    """One step of it is guidance with its scale; in two steps the first scale is larger."""
    text_to_image, options = TextToImage(model), {"guidance_scale": 0.6, "grid": "trailing"}
    one, two = (text_to_image(PROMPTS[:1], steps=n, **options) for n in (1, 2))
    options["cfg_plus_plus"] = True
    close(text_to_image(PROMPTS[:1], steps=1, **options), one)
    assert np.abs(text_to_image(PROMPTS[:1], steps=2, **options) - two).max() > 1e-4


@pytest.mark.slow
def test_one_batch_without_waiting(model, images):
    text = embed(model.text_encoder, PROMPTS)
    sampled = TextToImage(model).dispatch(
        jax.tree.map(jnp.asarray, text),
        model.null_text(),
        jnp.full(3, 3.0),
        levels=model.levels(2),
        seed=0,
        seeds=np.arange(3),
    )
    close(sampled, images)


@pytest.mark.slow
def test_noise_may_be_supplied(model):
    noise = np.random.default_rng(0).normal(size=(2, 8, 8, 4)).astype(np.float32)
    text_to_image = TextToImage(model)
    first, again = (
        text_to_image(["a cat"], noise=noise[i : i + 1], steps=2, guidance_scale=1) for i in (0, 1)
    )
    both = text_to_image(["a cat"] * 2, noise=noise, steps=2, guidance_scale=1)
    close(both, np.concatenate([first, again]))


@pytest.mark.slow
def test_sides(model):
    images = TextToImage(model, height=32)(["a cat"], steps=1, guidance_scale=1)
    assert images.shape == (1, 32, 16, 3)
    for side in (1, 17, -16):
        with pytest.raises(ValueError, match=rf"multiples of 2, received {side}x16"):
            TextToImage(model, height=side)


def test_what_is_refused(model):
    text_to_image = TextToImage(model)
    for prompts, options, message in (
        ("a cat", {}, "takes a list of captions, received a string"),
        ([], {}, "at least one caption"),
        (PROMPTS, {"seeds": [0]}, "one of `seeds` for each image, received the shape .1,. for 3"),
        (PROMPTS, {"noise": np.zeros((3, 4, 4, 4), np.float32)}, "starts from noise of the shape"),
        (PROMPTS, {"batch_size": 0}, "at least 1 image"),
        (PROMPTS, {"solver": "eule"}, "eule"),
        (PROMPTS, {"levels": np.array([5.0, 1.0, 1.0, 0.5])}, "fall strictly"),
        (PROMPTS, {"levels": np.array([0.5, 1.0])}, "fall from noise to an image"),
        (PROMPTS, {"guidance_scale": float("nan")}, "finite number, or one for each"),
        (PROMPTS, {"guidance_scale": [1.0, 2.0]}, "one for each image, received .* for 3"),
        (PROMPTS, {"guidance_scale": 3.0, "cfg_plus_plus": True}, "from 0 to 1, received 3"),
        (PROMPTS, {"interval": (5.0, 1.0)}, "from a low to a high noise level"),
        (PROMPTS, {"rescale": -1.0}, "a share from 0 to 1, received rescale=-1"),
    ):
        with pytest.raises(ValueError, match=message):
            text_to_image(prompts, **{**OPTIONS, **options})


def test_an_upscaler_makes_no_images_of_captions(model):
    with pytest.raises(ValueError, match=r"samples models of captions, received .* ImageCondition"):
        TextToImage(new_upscaler(model, scale=2))(PROMPTS)


def test_an_inpainting_unet_of_diffusers_is_refused(model):
    unet = UNetConfig(32, in_channels=9, context_width=64, multipliers=(1,), depths=(1,),
                      transformer_depths=(1,))  # fmt: skip
    parts = unet.build(key=jax.random.key(0)), unet, model.vae, model.text_encoder
    inpainting = stable_diffusion(*parts, model.config.scheduler)
    with pytest.raises(ValueError, match="they belong to different models, or the network is"):
        TextToImage(inpainting)


def test_a_guidance_conditioned_network_has_one_estimate(model):
    config = GuidanceEmbeddingConfig(ONE_LEVEL, 8)
    guided = dataclasses.replace(
        model,
        network=config.build(key=jax.random.key(0)),
        config=dataclasses.replace(model.config, network=config),
    )
    with pytest.raises(ValueError, match="no options of guidance, received rescale"):
        TextToImage(guided)(["a cat"], steps=1, rescale=0.7)
    with pytest.raises(ValueError, match="no options of guidance, received cfg_plus_plus"):
        TextToImage(guided)(["a cat"], steps=1, guidance_scale=0.6, cfg_plus_plus=True)
    with pytest.raises(ValueError, match="received negative_prompt='a dog'"):
        TextToImage(guided)(["a cat"], steps=1, negative_prompt="a dog")


@pytest.mark.parametrize("options", [{"seed": 2**32}, {"seed": -1}, {"seeds": [1, 2**32 + 1]}])
def test_no_two_seeds_are_one(model, options):
    with pytest.raises(ValueError, match="is a whole number from 0 to 4294967295"):
        TextToImage(model)(["a cat", "a dog"], steps=1, **options)


def test_numbers_of_steps_share_a_program(model, images):
    before = text_to_image._sample._cached._cache_size()
    for steps in (3, 5):
        TextToImage(model)(PROMPTS, steps=steps, guidance_scale=3)
    assert text_to_image._sample._cached._cache_size() == before


def test_prompts_are_a_list(model):
    with pytest.raises(ValueError, match="received a string"):
        TextToImage(model)("a cat", steps=1)
