"""What becomes of a run after training: averages made afterwards, and scores."""

import json
import shutil

import numpy as np
import pytest
from helpers import assert_refused, refusals, ROOT, run_python
from PIL import Image

RECIPES = ROOT / "recipes"


@pytest.fixture
def run(options, pictures, tmp_path):
    """Of 40 images, one of which is broken and one of which has no caption."""
    path, data = tmp_path / "run", tmp_path / "images"
    shutil.copytree(pictures, data)
    (data / "3.png").write_bytes(b"no image")
    lines = (data / "metadata.jsonl").read_text().splitlines(keepends=True)
    (data / "metadata.jsonl").write_text("".join(line for line in lines if '"5.png"' not in line))
    options = [str(data) if option == str(pictures) else option for option in options]
    averages = ("--held-out", "0.3", "--snapshots", "2", "--max-skipped", "0.1")
    run_python(
        *(RECIPES / "pretrain.py", *options, *averages, "--run", str(path), "--steps", "6"),
        devices=1,
    )
    return path


def pixels(run, tmp_path, *options):
    out = tmp_path / "image.png"
    sampling = ("--prompt", "a red square", "--sampling-steps", "2", "--out", str(out))
    run_python(RECIPES / "sample.py", str(run), *sampling, *options, devices=1)
    with Image.open(out) as image:
        return np.asarray(image, np.int32)


@pytest.mark.slow  # five processes that compile a network
def test_averages_chosen_after_training_and_scores(run, tmp_path):
    assert sorted(int(p.name) for p in (run / "averages").iterdir()) == [2, 4, 6]
    usual, trained = pixels(run, tmp_path), pixels(run, tmp_path, "--ema", "none")
    chosen = pixels(run, tmp_path, "--ema", "0.2")
    assert usual.shape == chosen.shape
    assert np.any(chosen != trained) and np.any(chosen != usual)

    scoring = ("--count", "99", "--sampling-steps", "2", "--split", "training")
    printed = run_python(RECIPES / "evaluate.py", str(run), *scoring, devices=1)
    (written,) = run.glob("evaluation_training_*.json")
    scores = json.loads(written.read_text())
    assert 20 < scores["images"] < 38 and scores["step"] == 6
    assert scores["sampling_steps"] == 2 and scores["solver"] == "deis3"
    assert 0 <= scores["generated"]["rank1"] <= 1
    assert scores["real"]["rank1"] > scores["shuffled"]["rank1"]
    assert any("FID" in score["name"] and score["value"] > 0 for score in scores["scores"])
    assert "FID" in printed and scores["evaluations"] == 2


NAMES = """
import sys
from pathlib import Path
sys.path.insert(0, "recipes")
from equildm import settings_name
from evaluate import Config, eqd
usual = Config(model=Path("a")).options()
paths = [Path(path) for path in ("pyproject.toml", "recipes/../pyproject.toml")]
scores = [dict(scores=eqd.ScoreConfig(reference=path)) for path in paths]
others = [
    *(dict(count=9), dict(seed=1), dict(guidance_scale=5.0), dict(solver="heun")),
    *(dict(ema="none"), dict(sampling_steps=4), dict(split="training"), *scores),
]
names = [settings_name(Config(model=Path("a"), **other).options(), usual) for other in others]
assert len(set(names)) == len(others) and "" not in names, names
alike = [dict(model=Path("b")), dict(batch_size=8)]
alike.append(dict(scores=eqd.ScoreConfig(save_reference=Path("c"))))
for other in alike:
    assert settings_name(Config(**(dict(model=Path("a")) | other)).options(), usual) == ""
"""


def test_scores_of_other_settings_have_other_files():
    """Seeds, guidance, solvers, steps and counts wrote over each other's."""
    run_python(NAMES, devices=1)


def test_what_cannot_be_scored_is_refused_before_anything_is_loaded(folder, tmp_path):
    """Options that contradict each other, and models that have no data of their own."""
    model = str(folder / "model")
    cases = [
        (("--count", "0"), "at least 1, received 0"),
        (("--batch-size", "-3"), "--batch-size is at least 1"),
        (("--sampling-steps", "0"), "--sampling-steps is at least 1"),
        (("--solver", "none"), "--solver is one of"),
        (("--resize", "antialiased"), "Give --inception PATH"),
        (("--metrics", "clip-score"), "Give --clip PATH"),
        (("--inception", str(tmp_path / "none")), "--inception takes a path that exists"),
        (("--metrics", "kid", "--reference", model), "Add fid to --metrics"),
        (("--reference-count", "9"), "Give --reference PATH"),
        ((), "A run folder holds a config.json"),
    ]
    assert_refused(RECIPES / "evaluate.py", cases, model)
    options = ((), ("--solvers", "none"), ("--evaluations", "0"), ("--count", "0"))
    messages = refusals(RECIPES / "compare_samplers.py", *((model, *o) for o in options))
    assert "Give --out" in messages[0] and "--solvers is one of" in messages[1]
    assert all("--fine-steps and --count are at least" in message for message in messages[2:])
