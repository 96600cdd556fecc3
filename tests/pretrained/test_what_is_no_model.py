"""Paths without a model, and options that a model does not take: each a `ValueError` saying so."""

import pytest
from model_folders import untrained_run

from equildm.pretrained import load_pretrained, RunModelConfig, save_pretrained


def refusal(path, **options):
    with pytest.raises(ValueError) as error:
        load_pretrained(path, **options)
    assert str(path) in str(error.value)
    return str(error.value)


def test_paths(tmp_path):
    assert "Give a run folder, a folder of diffusers" in refusal(tmp_path / "none")
    assert "holds no model" in refusal(tmp_path)
    (tmp_path / "config.json").write_text("{}")  # as in a run of train_vae.py
    assert "holds a VAE alone" in refusal(tmp_path)
    (tmp_path / "notes.txt").write_text("a cat")
    assert "give a folder with vocab.json" in refusal(tmp_path / "notes.txt")
    assert "is not a complete safetensors" in refusal(tmp_path / "notes.txt", tokenizer=tmp_path)


def test_options_of_runs_are_for_runs(model, tmp_path):
    save_pretrained(tmp_path / "model", model)
    for options in ({"ema": "none"}, {"step": 3}):
        assert "neither averages nor checkpoints" in refusal(tmp_path / "model", **options)
    for options in ({"tokenizer": tmp_path}, {"prediction": "epsilon"}):
        assert "leave them out" in refusal(tmp_path / "model", **options)
    with pytest.raises(ValueError, match="exists and is not overwritten"):
        save_pretrained(tmp_path / "model", model)


def test_a_run_without_weights(model, tmp_path):
    config = RunModelConfig(model.config)
    untrained_run(tmp_path / "run", model, model.network, config, steps=())
    with pytest.raises(ValueError, match="needs a complete checkpoint"):
        load_pretrained(tmp_path / "run")


def test_a_broken_description_of_a_run(model, tmp_path):
    untrained_run(tmp_path / "run", model, model.network, RunModelConfig(model.config))
    file = tmp_path / "run" / "model.json"
    for text, reason in (("{", ""), ("[]", "holds no object"), ("{}", "missing 'model'")):
        file.write_text(text)
        with pytest.raises(ValueError, match=rf"model\.json must describe .*{reason}"):
            load_pretrained(tmp_path / "run")
