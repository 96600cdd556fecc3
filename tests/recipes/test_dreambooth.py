"""A subject learned: resumed, on eight devices, as adapters, with the text encoder; refusals."""

import json

import numpy as np
import pytest
from helpers import ROOT, run_python
from PIL import Image
from run_folders import forget, losses

from equildm.data import ShapesSource

RECIPES = ROOT / "recipes"
SMALL = (
    *("--class-prompt", "a {} disc", "--prior-count", "8", "--sampling-steps", "2"),
    *("--batch-size", "8", "--warmup", "1", "--every.log", "1", "--prompts"),
)


@pytest.fixture(scope="session")
def subject(tmp_path_factory):
    folder = tmp_path_factory.mktemp("subject")
    source = ShapesSource(side=32, count=3)
    for i in range(3):
        Image.fromarray(source.image(i)).save(folder / f"{i}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n")
    return folder


@pytest.fixture
def start(options, tmp_path):
    run = tmp_path / "start"
    run_python(
        RECIPES / "pretrain.py",
        *options,
        "--run",
        str(run),
        *("--steps", "2", "--decay", "constant"),
        devices=1,
        timeout=1500,
    )
    return run


def teach(start, subject, run, *options, devices=1):
    return run_python(
        RECIPES / "dreambooth.py",
        *("--start", str(start), "--data", str(subject), "--run", str(run), *SMALL, *options),
        devices=devices,
        timeout=1500,
    )


@pytest.mark.slow  # five processes that compile a step
def test_a_subject_is_learned_resumed_and_sampled(start, subject, tmp_path):
    one, eight, broken = (tmp_path / name for name in ("one", "eight", "broken"))
    short = ("--steps", "4", "--every.save", "2")
    printed = teach(start, subject, one, *short)
    assert "Skipped broken.png" in printed and "8 pictures of the class" in printed
    with np.load(one / "prior.npz") as prior:
        assert prior["images"].shape == (8, 32, 32, 3)
    teach(start, subject, eight, *short, "--mesh", "fsdp=8", devices=8)
    np.testing.assert_allclose(list(losses(eight).values()), list(losses(one).values()), rtol=1e-3)
    forget(one, broken, 2)
    teach(start, subject, broken, *short, "--resume")
    assert losses(broken) == losses(one)
    run_python(
        RECIPES / "sample.py",
        *(str(one), "--prompt", "a sks disc", "--count", "2", "--steps", "2"),
        *("--out", str(tmp_path / "picture.png")),
        devices=1,
        timeout=900,
    )
    printed = run_python(
        RECIPES / "compare_subjects.py",
        *(str(start), str(one), "--count", "2", "--unseen", "a {} square"),
        *("--out", str(tmp_path / "compared")),
        devices=1,
        timeout=900,
    )
    scores = json.loads((tmp_path / "compared" / "scores.json").read_text())["scores"]
    assert scores[str(start)]["class moved"] == 0 < scores[str(one)]["class moved"]
    assert 0 < scores[str(one)]["subject, known captions"] <= 1


@pytest.mark.slow  # three processes that compile a step, one with a text encoder
@pytest.mark.parametrize(
    "what",
    [
        ("--lora", "2"),
        ("--prior-weight", "0", "--train", "*attention*"),
        ("--train-text", "--train", "text.*layers.5*", "*to_v*", "--groups", "text.*=0.1"),
    ],
)
def test_parts_are_taught_and_sampled(start, subject, what, tmp_path):
    run = tmp_path / "run"
    teach(start, subject, run, "--steps", "2", *what)
    assert (run / "base").is_dir() and (run / "prior.npz").exists() == ("0" not in what)
    out = tmp_path / "picture.png"
    sample = (str(run), "--prompt", "a sks disc", "--count", "1", "--steps", "2", "--out", str(out))
    run_python(RECIPES / "sample.py", *sample, devices=1, timeout=900)
    with Image.open(out) as picture:
        assert picture.size[0] > 32


def test_what_cannot_work_is_refused(tmp_path):
    with pytest.raises(AssertionError, match=r"pretrain\.py makes runs/emoji"):
        teach(tmp_path / "nothing", "tinted", tmp_path / "run")


@pytest.mark.slow  # compiles a step
def test_it_starts_from_a_folder_of_diffusers(folder, subject, tmp_path):
    run = tmp_path / "run"
    small = ("--steps", "1", "--warmup", "0", "--train-text", "--train", "*attention*")
    printed = teach(folder / "model", subject, run, *small)
    assert str(folder / "model") in printed
    assert (run / "text_encoder").is_dir() and (run / "tokenizer").is_dir()
    model = json.loads((run / "model.json").read_text())
    assert (model["prediction"], model["schedule"], model["size"]) == ("eps", "scaled-linear", 16)
    sample = (str(run), "--prompt", "a sks disc", "--count", "1", "--steps", "2")
    run_python(RECIPES / "sample.py", *sample, devices=1, timeout=900)
