"""Weights of other libraries through the recipes: converted both ways, sampled, adapted."""

import numpy as np
import pytest
from helpers import refusals, ROOT, run_python
from PIL import Image

from equildm.interop import load_stable_diffusion
from equildm.text import CLIPText

RECIPES = ROOT / "recipes"


def picture(path):
    with Image.open(path) as image:
        return np.asarray(image, int)


def sample(weights, out, *options):
    recipe = ["--prompt", "a cat", "--count", "2", "--steps", "2", "--solver", "dpm++2m"]
    recipe += ["--height", "16", "--width", "16"]  # a single file does not tell
    where = ["--weights", str(weights), "--out", str(out)]
    run_python(RECIPES / "sample.py", *where, *recipe, *options, devices=1)
    return picture(out)


def test_converted_both_ways_the_pictures_are_the_same(folder, tmp_path):
    def convert(source, out, *options):
        return run_python(RECIPES / "convert.py", str(source), str(out), *options, devices=1)

    printed = convert(folder / "model", tmp_path / "one.safetensors", "--names")
    assert "model.diffusion_model." in printed and "input_blocks.1.0.in_layers.0.weight" in printed
    tokenizer = ["--tokenizer", str(folder / "model" / "tokenizer")]
    convert(tmp_path / "one.safetensors", tmp_path / "again", *tokenizer)
    first = sample(folder / "model", tmp_path / "first.png")
    np.testing.assert_array_equal(sample(tmp_path / "again", tmp_path / "again.png"), first)


@pytest.mark.slow  # compiles two samplers
def test_adapters_change_the_pictures(folder, tmp_path):
    first = sample(folder / "model", tmp_path / "first.png")
    lora = ["--lora", str(folder / "lora.safetensors")]
    assert np.abs(sample(folder / "model", tmp_path / "adapted.png", *lora) - first).max() > 3


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


MISTAKES = {
    "sample.py": [
        (["--prompt", "a"], "one of the two; received None and None"),
        (["run", "--prompt", "a", "--height", "64"], "of its own size"),
    ],
    "convert.py": [
        (["{path}", "{path}"], "exists and is not overwritten"),
        (["none", "out"], "There is no none. Give a run folder"),
        (["{path}/lora.safetensors", "out"], "give a folder with vocab.json"),
    ],
}


@pytest.mark.parametrize("recipe", MISTAKES)
def test_mistakes_are_told(folder, recipe):
    commands = [[option.format(path=folder) for option in each] for each, _ in MISTAKES[recipe]]
    said = refusals(RECIPES / recipe, *commands)
    for told, (_, message) in zip(said, MISTAKES[recipe], strict=True):
        assert message in told
