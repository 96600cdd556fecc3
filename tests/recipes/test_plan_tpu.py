"""Planning for TPUs: what the recipe refuses, and one true case."""

import importlib.util
import json

import pytest
from helpers import refusals, ROOT, run_python

RECIPE = ROOT / "recipes" / "plan_tpu.py"


def test_what_cannot_be_is_refused_before_a_compile():
    steps, mesh, topology = refusals(
        RECIPE, ["--steps", "0"], ["--meshes", "data=8"], ["--topologies", "v9:4x4"]
    )
    assert "--steps is at least 1, received 0" in steps
    assert "16 in all; received 'data=8'" in mesh
    assert "received 'v9:4x4'" in topology


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed")
def test_a_plan_says_what_theory_says(tmp_path):
    """Sixteen chips, small latents; a second call compiles nothing."""
    out = tmp_path / "plans.jsonl"
    options = ["--presets", "39M", "--side", "16", "--batch-size", "64", "--per-chip", "2"]
    options += ["--effort", "O0", "--out", str(out)]
    for _ in range(2):
        printed = run_python(RECIPE, *options, devices=1, timeout=1800)
    assert "Compiling" not in printed and "theory:" in printed
    (result,) = map(json.loads, out.read_text().splitlines())
    assert result["fits"] and result["parts"] == 2
    gathers, theory = result["collectives"]["all-gather"], result["expected"]["all-gather"]
    assert gathers["instructions"] == theory["count"] and gathers["bytes"] == theory["bytes"]
    assert gathers["largest"] < theory["bytes"] / 4  # a layer at a time
    assert not {"all-to-all", "collective-permute"} & set(result["collectives"])
    state = result["arguments"]
    assert result["memory"] == pytest.approx(state + result["temporaries"], rel=0.5)
    assert result["bound"]["seconds"] > 0 and 0 < result["mfu"] < 1
