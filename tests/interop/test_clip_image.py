"""A CLIP with random weights against `transformers`: towers, input, score."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from helpers import others_slow
from text_folders import clip_folder

from equildm.features import clip_input, pool_features
from equildm.features.clip_image import DEVIATION, MEAN
from equildm.interop import load_clip
from equildm.metrics import clip_score

LAYERS = {
    "hidden_size": 32,
    "intermediate_size": 72,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
CAPTIONS = ["a photo of a cat", "", "the quick brown fox " * 9, "a horse"]
SIZES = [(40, 61), (59, 31), (28, 28), (30, 29)]


def make(peer, folder, activation="quick_gelu"):
    """A folder, its images and what `transformers` says of them."""
    count = clip_folder(folder, config={"model_max_length": 20})
    text = LAYERS | {
        "vocab_size": count,
        "max_position_embeddings": 20,
        "bos_token_id": count - 2,
        "eos_token_id": count - 1,
        "hidden_act": activation,
    }
    vision = LAYERS | {"image_size": 28, "patch_size": 7, "hidden_act": activation}
    sizes = {"text_config": text, "vision_config": vision, "projection_dim": 24}
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]
    named = {f"image{i}": image for i, image in enumerate(images)}
    config = {"folder": str(folder), "sizes": sizes, "captions": CAPTIONS}
    return images, peer("clip", config, **named)


def error(ours, theirs):
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


@pytest.mark.parametrize("activation", others_slow(["quick_gelu", "gelu"], "quick_gelu"))
def test_towers_and_score(peer, tmp_path, activation):
    images, theirs = make(peer, tmp_path, activation)
    clip = load_clip(tmp_path)
    image = np.asarray(jax.jit(jax.vmap(clip.image.vector))(theirs["pixels"]))
    ids, mask = clip.text.tokenize(CAPTIONS)
    caption = np.array(jax.jit(jax.vmap(clip.caption_vector))(ids, mask))
    caption /= np.linalg.norm(caption, axis=1, keepdims=True)
    errors = {
        "image tower": error(image, theirs["image"]),
        "text tower": error(caption, theirs["caption_unit"]),
    }
    cosine = np.sum(theirs["image_unit"] * theirs["caption_unit"], axis=1)
    scale = np.exp(float(clip.logit_scale))
    np.testing.assert_allclose(np.diag(theirs["logits"]), scale * cosine, rtol=1e-4)
    # Each size is a program; what is done to the others is below.
    two = [(images[i], CAPTIONS[i]) for i in (1, 2)]
    scores = [clip_score(clip, [image], [caption], batch=2)[0] for image, caption in two]
    errors["score"] = np.abs(scores - 100 * np.maximum(cosine[1:3], 0)).max() / 100
    print(activation, {name: f"{value:.1e}" for name, value in errors.items()})
    assert max(errors["image tower"], errors["text tower"]) < 1e-5
    assert errors["score"] < 1e-4
    assert np.std(theirs["image_unit"], axis=0).mean() > 0.01 and np.abs(cosine).max() > 0.01


def test_the_input_is_the_processors(peer, tmp_path):
    """Wide, high, equal and small images; at most one step of a byte apart, in few places."""
    images, theirs = make(peer, tmp_path)
    resize = jax.jit(clip_input, static_argnums=1)
    for image, pixels in zip(images, theirs["pixels"]):
        ours = resize(image / np.float32(127.5) - 1, 28)
        steps = np.abs(np.asarray(ours) - pixels) * 255 * 0.27
        print(image.shape, f"{steps.max():.2f} steps, {np.mean(steps > 0.1):.1e} of the pixels")
        assert steps.max() < 1.1 and np.mean(steps > 0.1) < 0.002


def test_scores_in_batches_and_one_tap(peer, tmp_path):
    make(peer, tmp_path)
    clip = load_clip(tmp_path)
    images = np.random.default_rng(1).integers(0, 256, (4, 33, 40, 3), dtype=np.uint8)
    scores = clip_score(clip, iter(images), CAPTIONS, batch=3)
    assert scores.shape == (4,) and (scores >= 0).all()
    one = [clip_score(clip, [x], [c], batch=1)[0] for x, c in zip(images, CAPTIONS)]
    np.testing.assert_allclose(scores, one, atol=1e-3)
    assert pool_features(clip.image, images, batch=3).shape == (4, *clip.image.channels)
    with pytest.raises(ValueError, match="received 4 images and 3 captions"):
        clip_score(clip, images, CAPTIONS[:3], batch=3)


def processor(folder, **fields):
    """The file of an image processor, as public CLIPs have it."""
    fields = {"size": {"shortest_edge": 28}, "crop_size": 28, "resample": 3} | fields
    (folder / "preprocessor_config.json").write_text(json.dumps(fields))


def test_the_colours_of_the_folders_processor(peer, tmp_path):
    """LAION's ViT-L/14 is trained with 0.5, for example."""
    images, theirs = make(peer, tmp_path)
    image = images[2] / np.float32(127.5) - 1  # of the tower's size
    half = (theirs["pixels"][2] * np.array(DEVIATION) + np.array(MEAN) - 0.5) / 0.5
    vectors = {}
    for colours in (None, [0.5, 0.5, 0.5]):
        if colours:
            processor(tmp_path, image_mean=colours, image_std=colours)
        clip = load_clip(tmp_path)
        vectors[colours is None] = np.asarray(eqx.filter_jit(clip.image)(image)[0])[0, 0]
    expected = np.asarray(eqx.filter_jit(clip.image.vector)(half.astype(np.float32)))
    assert error(vectors[False], expected) < 1e-4
    assert error(vectors[True], expected) > 1e-2
    nested = {"image_processor": json.loads((tmp_path / "preprocessor_config.json").read_text())}
    (tmp_path / "preprocessor_config.json").unlink()
    (tmp_path / "processor_config.json").write_text(json.dumps(nested))
    assert load_clip(tmp_path).image.config.mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"resample": 2}, "resample is 2, and only 3"),
        ({"do_center_crop": False}, "do_center_crop is False"),
        ({"size": {"shortest_edge": 36}}, r"size is {'shortest_edge': 36}, and only .* 28"),
        ({"crop_size": {"height": 28, "width": 24}}, "crop_size is .* and only the tower's 28"),
        ({"rescale_factor": 1.0}, "rescale_factor is 1, and only 1/255"),
        ({"image_mean": [0.5, 0.5]}, r"image_mean is \[0.5, 0.5\], not a number for each"),
        ({"image_std": [0.5, 0.5, 0]}, "image_std is 0, not a number above 0"),
    ],
)
def test_another_processor_is_refused(tmp_path, fields, message):
    text = LAYERS | {"vocab_size": clip_folder(tmp_path), "hidden_act": "gelu"}
    vision = LAYERS | {"image_size": 28, "patch_size": 7}
    config = {"model_type": "clip", "text_config": text, "vision_config": vision}
    (tmp_path / "config.json").write_text(json.dumps(config))
    processor(tmp_path, **fields)
    with pytest.raises(ValueError, match=rf"preprocessor_config\.json must .*{message}"):
        load_clip(tmp_path)


def test_sizes_are_checked_before_the_weights(tmp_path):
    """Without any: a tokenizer of another model, a tower that is absurdly deep."""
    text = LAYERS | {"vocab_size": clip_folder(tmp_path), "hidden_act": "gelu"}
    vision = LAYERS | {"image_size": 28, "patch_size": 7}

    def attempt(match, text, vision):
        config = {"model_type": "clip", "text_config": text, "vision_config": vision}
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(ValueError, match=match):
            load_clip(tmp_path)

    attempt(r"There is no model\.safetensors", text, vision)
    attempt(r"has \d+ tokens, the model in .* only 9\.", text | {"vocab_size": 9}, vision)
    older = text | {"num_hidden_layers": 0}
    config = {"model_type": "clip", "text_config": text, "text_config_dict": older}
    (tmp_path / "config.json").write_text(json.dumps(config | {"vision_config": vision}))
    with pytest.raises(ValueError, match="num_hidden_layers is 0"):  # of the two, as transformers
        load_clip(tmp_path)
    deep = vision | {"num_hidden_layers": 101}
    attempt(r"config\.json .*num_hidden_layers is 101, not a whole number from 1", text, deep)


def test_refuses(peer, tmp_path, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    make(peer, tmp_path)
    clip = load_clip(tmp_path)
    with pytest.raises(ValueError, match=r"takes shape \(28, 28, 3\), received \(28, 30, 3\)"):
        clip.image.vector(jnp.zeros((28, 30, 3)))
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"model_type": "clip_text_model"}))
    with pytest.raises(
        ValueError, match=r"config\.json must describe a CLIP with both towers.*model_type"
    ):
        load_clip(tmp_path)
    config["vision_config"]["patch_size"] = 5
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match="image_size is 28, not a multiple of patch_size"):
        load_clip(tmp_path)
