"""What becomes of a run after training: averages that were not kept, and scores."""

import json
import shutil

import numpy as np
import pytest
from helpers import ROOT, run_python
from PIL import Image

RECIPES = ROOT / "recipes"


@pytest.fixture
def run(options, pictures, tmp_path):
    """Of 40 pictures, one of which is broken and one of which has no caption."""
    path, data = tmp_path / "run", tmp_path / "pictures"
    shutil.copytree(pictures, data)
    (data / "3.png").write_bytes(b"no picture")
    lines = (data / "metadata.jsonl").read_text().splitlines(keepends=True)
    (data / "metadata.jsonl").write_text("".join(line for line in lines if '"5.png"' not in line))
    options = [str(data) if option == str(pictures) else option for option in options]
    kept = ("--held-out", "0.3", "--snapshots", "2")
    run_python(
        *(RECIPES / "pretrain.py", *options, *kept, "--run", str(path), "--steps", "6"), devices=1
    )
    return path


def pixels(run, tmp_path, *options):
    out = tmp_path / "picture.png"
    sampling = ("--prompt", "a red square", "--steps", "2", "--out", str(out))
    run_python(RECIPES / "sample.py", str(run), *sampling, *options, devices=1)
    with Image.open(out) as picture:
        return np.asarray(picture, np.int32)


@pytest.mark.slow  # five processes that compile a network
def test_averages_chosen_after_training_and_scores(run, tmp_path):
    assert sorted(int(p.name) for p in (run / "averages").iterdir()) == [2, 4, 6]
    kept, trained = pixels(run, tmp_path), pixels(run, tmp_path, "--average", "none")
    chosen = pixels(run, tmp_path, "--average", "0.2")
    assert kept.shape == chosen.shape
    assert np.any(chosen != trained) and np.any(chosen != kept)

    scoring = ("--count", "99", "--steps", "2", "--split", "training")
    printed = run_python(RECIPES / "evaluate.py", str(run), *scoring, devices=1)
    (written,) = run.glob("evaluation_training_*.json")
    scores = json.loads(written.read_text())
    assert 20 < scores["pictures"] < 38 and scores["step"] == 6
    assert (
        0 <= scores["made"]["rank1"] <= 1 and scores["real"]["rank1"] > scores["shuffled"]["rank1"]
    )
    assert any("FID" in score["name"] and score["value"] > 0 for score in scores["scores"])
    assert "FID" in printed
