"""The code of the pages runs as it stands, and what it makes can be trained."""

import json
import shutil

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from helpers import page_code, ROOT
from small_models import captioned_folder


def run(page: str, names: dict | None = None) -> dict:
    names = {} if names is None else names
    exec(compile(page_code(page), page, "exec"), names)
    return names


@pytest.fixture
def beside_a_run(tmp_path, monkeypatch):
    """The current folder: it has a small run where recipes make one, and takes what pages save."""
    monkeypatch.chdir(tmp_path)
    old_run = ROOT / "tests" / "pretrained" / "format_1" / "pretrained"
    run = shutil.copytree(old_run, tmp_path / "runs" / "emoji")
    options = json.loads((run / "config.json").read_text())
    options["config"]["data"] = str(captioned_folder(tmp_path / "images"))  # few to encode
    (run / "config.json").write_text(json.dumps(options))
    return tmp_path


def test_the_guide_to_composing_runs():
    """Traced, line by line, and nothing compiled: five networks, of which shapes are all to see."""
    names: dict = {}

    def with_gradient():
        run("docs/composing.md", names)
        inputs = names["latents"][0], names["times"][0], jax.tree.map(lambda x: x[0], names["text"])
        return names["custom"], jax.grad(lambda net: jnp.sum(net(*inputs) ** 2))(names["custom"])

    custom, gradient = eqx.filter_eval_shape(with_gradient)  # every part that the page replaces
    assert jax.tree.structure(gradient) == jax.tree.structure(custom)
    # The DiT middle starts as the identity: it is there, and without effect.
    middle = names["DiTMiddle"](128, resblock=None, transformer=None, key=jax.random.key(0))
    assert len(middle.blocks) == len(custom.middle.blocks) == 4
    x = jnp.ones((2, 2, 128))
    assert jnp.array_equal(eqx.filter_jit(middle)(x, jnp.ones(128), None, None), x)


def test_the_guide_to_transformers_runs():
    """Traced, and nothing compiled; its assertions are the test."""
    names: dict = {}

    def traced():
        run("docs/transformers.md", names)
        return names["predicted"], names["student"]

    predicted, student = eqx.filter_eval_shape(traced)
    assert predicted.shape == (2, 16, 10, 4)
    assert student.network.blocks.depth == 4
    assert names["sd35"].dual_depth == 13


@pytest.mark.slow
def test_the_guide_to_sampling_runs():
    names = run("docs/sampling.md")  # its assertions are the test
    assert names["previews"].shape == (20, 4, 4, 1)


@pytest.mark.slow
def test_the_guide_to_adapters_runs():
    names = run("docs/lora.md")  # its assertions are the test
    assert bool(names["metrics"]["finite"])
    assert any("conv1" in path for path in names["wide"])


@pytest.mark.slow
def test_the_guide_to_weights_runs():
    names = run("docs/weights.md")  # its assertions are the test
    assert bool(jnp.isfinite(names["images"]).all())


@pytest.mark.slow
def test_the_guide_to_python_runs(beside_a_run):
    names = run("docs/python.md")
    before, after = names["images"], names["trained"]
    assert before.shape == (1, 16, 16, 3) and bool(jnp.isfinite(before).all())
    assert after.config == names["model"].config and (beside_a_run / "exported" / "vae").is_dir()


@pytest.mark.slow
def test_the_guide_to_monitoring_runs(beside_a_run, capsys):
    (beside_a_run / "runs" / "emoji" / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n')
    names = run("docs/monitoring.md")
    assert names["losses"] == {1: 0.5}
    assert set(names["curve"]) == {1, 2} and "validation_loss" in names["curve"][2]
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in printed if len(line) == 2] == ["2"]  # of ten steps one point


def test_the_guide_to_metrics_runs():
    names = run("docs/metrics.md")
    assert names["a"].extractor == "AlexNet, 32 pixels" and names["b"].count == 24
    assert names["kid"].mean > 0 and 0 <= names["overlap"].recall <= 1


@pytest.mark.slow
def test_the_readme_runs(beside_a_run):
    names = run("README.md")
    assert (beside_a_run / "heart.png").is_file()
    assert names["latent"].shape == (16, 16, 4)
    assert bool(jnp.isfinite(names["latent"]).all())


@pytest.mark.slow
def test_the_guide_to_super_resolution_runs():
    names = run("docs/super_resolution.md")  # its assertions are the test
    assert names["low"].dtype == "uint8" and names["wide"].network.conv_in.weight.shape[2] == 8


@pytest.mark.slow
def test_the_guide_to_dreambooth_runs():
    names = run("docs/dreambooth.md")
    assert bool(names["metrics"]["finite"]) and names["metrics"]["prior"] > 0
    # The step took over the memory of what it trained: the same network again.
    before, after = names["config"].build(key=jax.random.key(0)), names["tuned"]
    assert jnp.array_equal(before.conv_out.weight, after.conv_out.weight)
    assert not jnp.array_equal(before.conv_in.weight, after.conv_in.weight)


@pytest.mark.slow
def test_the_guide_to_controlnet_runs():
    names = run("docs/controlnet.md")  # its assertions are the test
    assert names["steered"].shape == (8, 8, 4) and names["dataset"].skips.counts == {}


@pytest.mark.slow
def test_the_guide_to_inpainting_runs():
    names = run("docs/inpainting.md")  # its assertions are the test
    assert names["network"].network.conv_in.weight.shape[2] == 9
