"""The recipes from one to the next: train, sample, count."""

import json

import pytest
from helpers import ROOT, run_python
from PIL import Image

RECIPES = ROOT / "recipes"


@pytest.mark.slow
def test_pretrain_then_sample_and_compare(options, tmp_path):
    """A run folder is all that sampling needs."""
    run_python(
        RECIPES / "pretrain.py",
        *(*options, "--run", str(tmp_path / "one"), "--steps", "5", "--batch-size", "8"),
        devices=1,
    )

    out = tmp_path / "images.png"
    printed = run_python(
        RECIPES / "sample.py",
        *(str(tmp_path / "one"), "--prompt", "a red square", "a blue disc"),
        *("--count", "2", "--sampling-steps", "2", "--out", str(out)),
        devices=1,
    )
    assert "4 images of step 5" in printed
    with Image.open(out) as grid:
        assert grid.size[0] > 2 * 32

    printed = run_python(
        RECIPES / "compare_samplers.py",
        *(str(tmp_path / "one"), "--solvers", "ddim", "heun", "ddpm", "--evaluations", "2", "4"),
        *("--fine-steps", "8", "--count", "1", "--out", str(tmp_path / "samplers")),
        devices=1,
    )
    assert "Error within a number of" in printed
    errors = json.loads((tmp_path / "samplers" / "errors.json").read_text())["errors"]
    assert set(errors) == {"ddim", "heun", "ddpm"} and set(errors["ddim"]) == {"2", "4"}
    assert all(0 < error < 100 for row in errors.values() for error in row.values())
    assert {p.name for p in (tmp_path / "samplers").glob("*.png")} == {"errors.png", "images.png"}


def test_table1_counts_without_weights():
    printed = run_python(RECIPES / "table1.py", "--sizes", "39M", "5B", devices=1)
    for figure in ("38.80", "53.0", "0.066", "4900.20", "4195.1", "5.216"):
        assert figure in printed
