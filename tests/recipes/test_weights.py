"""Weights of other libraries through the recipes: converted both ways, sampled, adapted."""

import numpy as np
import pytest
from helpers import ROOT, run_python
from PIL import Image

from equildm.interop import load_stable_diffusion

RECIPES = ROOT / "recipes"


def picture(path):
    with Image.open(path) as image:
        return np.asarray(image, int)


def test_converted_both_ways_the_pictures_are_the_same(folder, tmp_path):
    recipe = ["--prompt", "a cat", "--count", "2", "--steps", "2", "--solver", "dpm++2m"]
    recipe += ["--height", "16", "--width", "16"]  # a single file does not tell

    def sample(weights, name, *options):
        out = tmp_path / f"{name}.png"
        where = ["--weights", str(weights), "--out", str(out)]
        run_python(RECIPES / "sample.py", *where, *recipe, *options, devices=1)
        return picture(out)

    def convert(source, out, *options):
        return run_python(RECIPES / "convert.py", str(source), str(out), *options, devices=1)

    first = sample(folder / "model", "first")
    printed = convert(folder / "model", tmp_path / "one.safetensors", "--names")
    assert "model.diffusion_model." in printed and "input_blocks.1.0.in_layers.0.weight" in printed
    tokenizer = ["--tokenizer", str(folder / "model" / "tokenizer")]
    convert(tmp_path / "one.safetensors", tmp_path / "again", *tokenizer)
    np.testing.assert_array_equal(sample(tmp_path / "again", "again"), first)
    adapted = sample(folder / "model", "adapted", "--lora", str(folder / "lora.safetensors"))
    assert np.abs(adapted - first).max() > 3


@pytest.mark.slow  # compiles a training step
def test_trained_with_clip_it_is_a_whole_pipeline(folder, options, tmp_path):
    """pretrain.py with another text encoder, exported: diffusers' index is there."""
    run = tmp_path / "run"
    own = ["--run", str(run), "--text", str(folder / "model"), "--steps", "1", "--warmup", "0"]
    run_python(RECIPES / "pretrain.py", *options, *own, devices=1)
    run_python(RECIPES / "convert.py", str(run), str(tmp_path / "out"), devices=1)
    model = load_stable_diffusion(tmp_path / "out")
    assert (tmp_path / "out" / "model_index.json").is_file() and isinstance(model.text, CLIPText)
    assert model.text.length == 16 and model.unet_config.context_width == 64


@pytest.mark.parametrize(
    ("recipe", "options", "message"),
    [
        ("sample.py", ["--prompt", "a"], "one of the two; received None and None"),
        ("sample.py", ["run", "--prompt", "a", "--height", "64"], "of its own size"),
        ("convert.py", ["{path}", "{path}"], "exists and is not overwritten"),
        ("convert.py", ["none", "out"], "There is no none. Give a run folder"),
        ("convert.py", ["{path}/lora.safetensors", "out"], "give a folder with vocab.json"),
    ],
)
def test_mistakes_are_told(folder, recipe, options, message):
    options = [option.format(path=folder) for option in options]
    with pytest.raises(AssertionError, match=message):
        run_python(RECIPES / recipe, *options, devices=1)
