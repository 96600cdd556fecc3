"""Pipelines of PixArt: from the same noise, both libraries sample the same images."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from model_folders import assert_saved_as_it_is
from text_folders import t5_folder

from equildm.denoise import ResolutionConditioningConfig, WithoutVarianceConfig
from equildm.interop import load_scheduler, open_weights, save_dit, Scheduler
from equildm.interop.dit_fields import from_dit
from equildm.interop.shards import DIFFUSERS
from equildm.latents import VAEConfig
from equildm.noise import EDMPrediction, EDMSchedule, FlowVelocity, RectifiedFlow
from equildm.pipeline import LatentDiffusion, ModelConfig, TextToImage
from equildm.pretrained import default_layout, load_pretrained, part_tables, save_pretrained
from equildm.text import read_tokenizer, SmallTextEncoder, T5Config, T5Text

PROMPTS = ["a red cat", "two dogs, and a very long tail of words"]
ALPHA, SIGMA = "PixArtAlphaPipeline", "PixArtSigmaPipeline"
TOLD = {"sample_size": 128, "use_additional_conditions": True}
SIZES = {
    "_class_name": "PixArtTransformer2DModel",
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "num_layers": 1,
    "in_channels": 4,
    "out_channels": 8,
    "sample_size": 16,
    "patch_size": 2,
    "caption_channels": 20,
}
CASES = {
    "alpha": (ALPHA, {}, 120),
    "sigma": (SIGMA, {"interpolation_scale": 2}, 300),
    "alpha that is told the resolution": (ALPHA, TOLD, 120),
    "sigma without a variance": (SIGMA, {"out_channels": 4}, 300),
}


def call(height, width, negative):
    """The options of the public pipeline, and the noise."""
    noise = np.random.default_rng(0).standard_normal((2, height // 2, width // 2, 4), np.float32)
    options = {
        "prompt": PROMPTS,
        "negative_prompt": negative,
        "height": height,
        "width": width,
        "num_inference_steps": 6,
        "guidance_scale": 4.5,
    }
    return options, noise


def sampled(model, options, noise):
    images = TextToImage(model, height=options["height"], width=options["width"])(
        PROMPTS,
        steps=options["num_inference_steps"],
        noise=noise,
        guidance_scale=options["guidance_scale"],
        negative_prompt=options["negative_prompt"],
    )
    return np.clip(images / 2 + 0.5, 0, 1)


@pytest.mark.slow
@pytest.mark.peer
@pytest.mark.parametrize("name", CASES)
def test_the_same_images_in_and_out(peer, tmp_path, name):
    kind, transformer, max_tokens = CASES[name]
    t5_folder(tmp_path / "words")
    public = {"class": kind, "folder": str(tmp_path / "public")}
    make = {"make": str(tmp_path / "words"), "transformer": transformer}
    square, noise = call(32, 32, "")
    theirs = peer("pixart", public | make | {"call": square}, noise=noise)["images"]
    assert np.std(theirs) > 0.05
    model = load_pretrained(public["folder"])
    config = model.config
    assert (config.sampling_steps, config.guidance_scale, config.solver) == (20, 4.5, "dpm++2m")
    assert model.text_encoder.max_tokens == config.max_tokens == max_tokens
    has_variance = "out_channels" not in transformer
    assert isinstance(config.network, WithoutVarianceConfig) == has_variance
    is_told = isinstance(getattr(config.network, "of", None), ResolutionConditioningConfig)
    assert is_told == (transformer is TOLD)
    error = np.abs(sampled(model, square, noise) - theirs).max()
    assert error < 1e-4, error
    wide, wide_noise = call(16, 40, "blue")
    images = peer("pixart", public | {"call": wide}, noise=wide_noise)["images"]
    wide_error = np.abs(sampled(model, wide, wide_noise) - images).max()
    print(f"{error:.1e} {wide_error:.1e}")
    assert wide_error < 1e-4

    assert default_layout(tmp_path / "2", model) == "diffusers"
    save_pretrained(tmp_path / "2", model)
    again = public | {"folder": str(tmp_path / "2"), "call": wide}
    assert np.abs(peer("pixart", again, noise=wide_noise)["images"] - images).max() < 1e-5
    folders = (tmp_path / "public", tmp_path / "2")
    before, after = (open_weights(path / "transformer", DIFFUSERS) for path in folders)
    assert set(before) == set(after)
    assert all(before[k].tobytes() == after[k].tobytes() for k in before)
    own = dataclasses.replace(model, config=dataclasses.replace(config, sampling_steps=9))
    for layout in ("diffusers", "equildm"):
        assert_saved_as_it_is(own, tmp_path / layout, layout)
    names = {part.name for part in part_tables(model, "diffusers")}
    assert names == {"transformer", "vae", "text_encoder"}


def small_pixart(folder, *, told=False, max_tokens=120, **changes):
    """A PixArt with fresh weights; `changes` are of its transformer."""
    fields = SIZES | changes | (TOLD if told else {})
    network = WithoutVarianceConfig(from_dit(fields))
    vocabulary = t5_folder(folder)
    sizes = T5Config(vocabulary, width=20, depth=1, heads=2, head_width=4, hidden=16)
    keys = [jax.random.key(i) for i in range(3)]
    text_encoder = T5Text(sizes.build(key=keys[0]), read_tokenizer(folder, "t5"), max_tokens)
    config = ModelConfig(network, 32, (16, 16, 4), Scheduler(), max_tokens)
    vae = VAEConfig(width=32, multipliers=(1, 1), depth=1).build(key=keys[1])
    return LatentDiffusion(network.build(key=keys[2]), vae, text_encoder, config)


def with_config(model, **changes):
    return dataclasses.replace(model, config=dataclasses.replace(model.config, **changes))


@pytest.mark.parametrize("told", [False, True])
def test_saved_and_opened_it_is_the_same(tmp_path, told):
    model = small_pixart(tmp_path / "words", told=told)
    side = 128 if told else 16
    model = with_config(
        model, image_size=2 * side, latent_shape=(side, side, 4), guidance_scale=2.0
    )
    assert_saved_as_it_is(model, tmp_path / "saved")
    index = json.loads((tmp_path / "saved" / "model_index.json").read_text())
    assert index["_class_name"] == ALPHA
    (tmp_path / "saved" / "model.json").unlink()
    public = load_pretrained(tmp_path / "saved").config
    assert public == dataclasses.replace(
        model.config, scheduler=public.scheduler, guidance_scale=4.5, sampling_steps=20
    )
    other = Scheduler(kind="DPMSolverMultistepScheduler")
    assert load_pretrained(tmp_path / "saved", scheduler=other).config.solver == "dpm++2m"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"max_tokens": 77},
            r"120 tokens .* PixArtAlphaPipeline and 300 .* max_tokens=77\. Save it",
        ),
        (
            {"told": True, "max_tokens": 300},
            "told to a network of PixArtAlphaPipeline .* and 300 t",
        ),
        ({"use_additional_conditions": True}, "sample_size is 128, received .* sample_size 16 and"),
    ],
)
def test_what_diffusers_does_not_sample_is_refused(tmp_path, changes, message):
    model = small_pixart(tmp_path / "words", **changes)
    assert default_layout(tmp_path / "out", model) == "equildm"
    with pytest.raises(ValueError, match=message):
        save_pretrained(tmp_path / "out", model, layout="diffusers")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"clip_sample": True, "steps_offset": 1}, "PixArtAlphaPipeline clips the sample"),
        ({"steps_offset": 1}, "DDIMScheduler or DDPMScheduler leaves it out"),
        ({"clip_sample": False, "steps_offset": 0}, "steps_offset, and only 1 .* received 0"),
        ({"clip_sample": False}, "steps_offset, and only 1 is supported, received 0"),
        ({"clip_sample": False, "timestep_spacing": "trailing"}, ""),
    ],
)
def test_a_scheduler_counts_as_it_is_written(tmp_path, fields, message):
    """diffusers' Stable Diffusion changes these fields, and its PixArt does not."""
    save_pretrained(tmp_path / "1", small_pixart(tmp_path / "words"))
    (tmp_path / "1" / "model.json").unlink()
    file = tmp_path / "1" / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps({"_class_name": "DDIMScheduler"} | fields))
    if not message:
        assert load_pretrained(tmp_path / "1").config.scheduler.spacing == "trailing"
        return
    with pytest.raises(ValueError, match=message):
        load_pretrained(tmp_path / "1")
    model = load_pretrained(tmp_path / "1", scheduler=Scheduler())
    scheduler = load_scheduler(file.parent)
    model = dataclasses.replace(
        model, config=dataclasses.replace(model.config, scheduler=scheduler)
    )
    assert default_layout(tmp_path / "2", model) == "equildm"


def test_other_parts_are_refused(tmp_path):
    """When a folder is opened, and when a model is saved."""
    model = small_pixart(tmp_path / "words")
    flow = Scheduler(RectifiedFlow(), FlowVelocity(), kind="FlowMatchEulerDiscreteScheduler")
    with pytest.raises(ValueError, match="A PixArt is not sampled with FlowMatchEulerDiscrete"):
        save_pretrained(tmp_path / "flow", with_config(model, scheduler=flow), layout="diffusers")
    words = SmallTextEncoder(20, depth=1, key=jax.random.key(0))
    other = dataclasses.replace(model, text_encoder=words)
    with pytest.raises(
        ValueError, match=r"a T5Text .* received a SmallTextEncoder and .* captions"
    ):
        save_pretrained(tmp_path / "bytes", other, layout="diffusers")


def small_transformer(folder, **changes):
    """Replaces the transformer of a saved pipeline by one with other sizes."""
    config = from_dit(SIZES | changes)
    save_dit(folder / "transformer", config.build(key=jax.random.key(0)), config)


def test_folders_that_do_not_fit_together_are_refused(tmp_path):
    folder = tmp_path / "saved"
    save_pretrained(folder, small_pixart(tmp_path / "words"))
    with pytest.raises(ValueError, match="A PixArt is not sampled with EDMEulerScheduler"):
        edm = Scheduler(EDMSchedule(), EDMPrediction(), kind="EDMEulerScheduler")
        load_pretrained(folder, scheduler=edm)
    small_transformer(folder, out_channels=6)
    with pytest.raises(ValueError, match=r"of the latent's 4 channels, .* received out_channels=6"):
        load_pretrained(folder)
    small_transformer(folder, caption_channels=12)
    with pytest.raises(ValueError, match="captions of width 12, and the text encoder gives 20"):
        load_pretrained(folder)
    index = {"_class_name": SIGMA}
    (folder / "model_index.json").write_text(json.dumps(index))
    small_transformer(folder, use_additional_conditions=True)
    with pytest.raises(
        ValueError, match=r"told to a network of PixArtAlphaPipeline .* and 300 tok"
    ):
        load_pretrained(folder)


def test_a_pipeline_of_classes_is_refused_and_says_what_opens_it(tmp_path):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "DiTPipeline"}))
    message = (
        r"_class_name is 'DiTPipeline', and only .* load_dit\(folder / 'transformer'\), .*one-hot"
    )
    with pytest.raises(ValueError, match=message):
        load_pretrained(tmp_path)
