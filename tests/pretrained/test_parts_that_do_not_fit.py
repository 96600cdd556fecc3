"""Parts of different models, and sizes that no network has: refused by all loaders alike."""

import dataclasses
import json

import pytest
from model_folders import clip_model, ONE_LEVEL, untrained_run
from text_folders import clip_folder

from equildm.pretrained import load_pretrained, RunModelConfig, save_pretrained
from equildm.training import MatchingWeights

LAYOUTS = {"diffusers": "model", "single-file": "model.safetensors", "equildm": "model"}


def refusal(path, **options):
    with pytest.raises(ValueError) as error:
        load_pretrained(path, **options)
    assert str(path) in str(error.value)
    return str(error.value)


def saved(model, folder, layout):
    """The path of a saved model, its tokenizer's folder, and options to load it."""
    path = folder / LAYOUTS[layout]
    save_pretrained(path, model, layout=layout)
    if layout != "single-file":
        return path, path / "tokenizer", {}
    clip_folder(folder / "tokenizer")
    return path, folder / "tokenizer", {"tokenizer": folder / "tokenizer"}


def run_folder(path, model, **facts):
    config = RunModelConfig(model.config, **facts)
    untrained_run(path, model, model.network, config, steps=())
    return path


def change(path, edit, part="network"):
    """The model of a folder's `model.json`, edited; a run's is one level deeper."""
    file = path / "model.json"
    document = json.loads(file.read_text())
    model = document.get("model", document)
    edit(model if part is None else model[part])
    file.write_text(json.dumps(document))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_tokenizer_with_more_tokens(model, tmp_path, layout):
    path, tokenizer, options = saved(model, tmp_path, layout)
    count = clip_folder(tokenizer)
    (tokenizer / "added_tokens.json").write_text(json.dumps({"<more>": count}))
    expected = f"tokenizer has {count + 1} tokens, the model in "
    assert expected in refusal(path, **options)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_network_for_captions_of_another_width(tmp_path, layout):
    wide = clip_model(tmp_path / "vocabulary", dataclasses.replace(ONE_LEVEL, context_width=96))
    path, _, options = saved(wide, tmp_path, layout)
    assert "captions of width 96, and the text encoder gives 64" in refusal(path, **options)


@pytest.mark.parametrize("kind", ["equildm", "run"])
@pytest.mark.parametrize("value", [0, -1])
@pytest.mark.parametrize("size", ["width", "groups", "heads", "in_channels"])
def test_sizes_that_no_network_has(model, tmp_path, kind, size, value):
    path = tmp_path / "model"
    if kind == "run":
        run_folder(path, model)
    else:
        save_pretrained(path, model, layout="equildm")
    change(path, lambda network: network.update({size: value}))
    message = refusal(path)
    assert str(path / "model.json") in message and f"{size}={value}" in message
    assert "widths, heads and groups are at least 1" in message


@pytest.mark.parametrize(
    ("name", "value"), [("image_size", 0), ("latent_shape", [0, 8, 4]), ("sampling_steps", 0)]
)
def test_numbers_that_no_model_has(model, tmp_path, name, value):
    path = run_folder(tmp_path / "run", model)
    change(path, lambda model: model.update({name: value}), part=None)
    assert f"A model's {name} is at least 1" in refusal(path)


def test_the_trained_part_of_another_network(model, tmp_path):
    path = run_folder(tmp_path / "run", model, trained=MatchingWeights(("nothing*",)))
    message = refusal(path)
    assert str(path / "model.json") in message and "received 'nothing*'" in message
