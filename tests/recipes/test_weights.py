"""Weights of other libraries through the recipes: converted both ways, sampled, adapted."""

import json

import numpy as np
import pytest
from helpers import assert_refused, ROOT, run_python
from PIL import Image

from equildm.pretrained import load_diffusers
from equildm.text import CLIPText

RECIPES = ROOT / "recipes"


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image, int)


def sample(model, out, *options):
    recipe = ["--prompt", "a cat", "--count", "2", "--sampling-steps", "2", "--solver", "dpm++2m"]
    run_python(RECIPES / "sample.py", str(model), "--out", str(out), *recipe, *options, devices=1)
    return pixels(out)


@pytest.mark.slow  # starts six processes
def test_converted_both_ways_the_images_are_the_same(folder, tmp_path):
    def convert(source, out, *options):
        return run_python(RECIPES / "convert.py", str(source), str(out), *options, devices=1)

    file = tmp_path / "one.safetensors"
    printed = convert(folder / "model", file, "--names")
    assert "model.diffusion_model." in printed and "input_blocks.1.0.in_layers.0.weight" in printed
    tokenizer = ["--tokenizer", str(folder / "model" / "tokenizer")]
    convert(file, tmp_path / "again", *tokenizer)
    first = sample(folder / "model", tmp_path / "first.png")
    np.testing.assert_array_equal(sample(file, tmp_path / "file.png", *tokenizer), first)
    np.testing.assert_array_equal(sample(tmp_path / "again", tmp_path / "again.png"), first)


@pytest.mark.slow  # compiles two samplers
def test_adapters_change_the_images(folder, tmp_path):
    first = sample(folder / "model", tmp_path / "first.png")
    lora = ["--lora", str(folder / "lora.safetensors")]
    assert np.abs(sample(folder / "model", tmp_path / "adapted.png", *lora) - first).max() > 3


@pytest.mark.slow  # compiles a training step
def test_trained_with_clip_it_is_a_pipeline_of_diffusers(folder, options, tmp_path):
    """pretrain.py with another text encoder, exported: diffusers' index is there."""
    run = tmp_path / "run"
    own = ["--run", str(run), "--text-encoder", str(folder / "model"), "--steps", "1"]
    run_python(RECIPES / "pretrain.py", *options, *own, "--warmup", "0", devices=1)
    run_python(RECIPES / "convert.py", str(run), str(tmp_path / "out"), devices=1)
    model = load_diffusers(tmp_path / "out")
    index = json.loads((tmp_path / "out" / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionPipeline"
    assert isinstance(model.text_encoder, CLIPText) and model.text_encoder.max_tokens == 16
    assert model.config.network.context_width == 64
    assert (model.config.solver, model.config.guidance_scale) == ("deis3", 3.0)


MISTAKES = {
    "sample.py": [
        (["none", "--prompt", "a"], "There is no none. Give a run folder"),
        (["none", "--prompt", "a", "--solver", "eule"], "eule"),  # before anything is read
        (["none", "--prompt"], "needs a caption"),
        (["none", "--prompt", "a", "--count", "0"], "--count is at least 1"),
        (["{path}/model", "--prompt", "a", "--ema", "none"], "is no run folder"),
    ],
    "convert.py": [
        (["{path}", "{path}"], "exists and is not overwritten"),
        (["none", "out"], "There is no none. Give a run folder"),
        (["{path}/lora.safetensors", "out"], "give a folder with vocab.json"),
    ],
}


@pytest.mark.parametrize("recipe", MISTAKES)
def test_mistakes_are_named(folder, recipe):
    cases = [
        ([option.format(path=folder) for option in options], message)
        for options, message in MISTAKES[recipe]
    ]
    assert_refused(RECIPES / recipe, cases)
