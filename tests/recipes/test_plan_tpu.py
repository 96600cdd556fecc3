"""Planning for TPUs: what is refused before any compile, tables of saved results, one true case."""

import importlib.util
import json

import pytest
from helpers import ROOT, run_python

RECIPE = ROOT / "recipes" / "plan_tpu.py"

REFUSED = """
import dataclasses, sys
sys.path.insert(0, "recipes")
from plan_tpu import attempts, Config, planned
from plans import row

def refused(**options):
    try:
        planned(Config(**options))
    except ValueError as error:
        return str(error)
    raise AssertionError(options)

assert "received 'huge'" in refused(presets=("huge",))
assert "received 'v9:4x4'" in refused(topologies=("v9:4x4",))
assert "has 2 sides" in refused(topologies=("v5e:4",))
assert "'rows'" in refused(meshes=("rows=16",))
assert "16 in all; received 'data=8'" in refused(meshes=("data=8",))
assert "data x fsdp = 16 devices, received 40" in refused(batch=40)
assert "128 a chip, which must be a multiple of --per-chip, received 3" in refused(per_chip=3)

case, = planned(Config(per_chip=8))
assert (case.mesh, case.parallel, case.parts) == ("fsdp=16", 16, 16)
assert [each.per_chip for each in attempts(case, 8)] == [8]
assert [each.per_chip for each in attempts(case, 0)] == [128, 64, 32, 16, 8, 4, 2, 1]

too_big = dict(case=case.key(), chips=16, per_chip=8, parts=16, limit=2**34, fits=False)
line = row(too_big | {"memory": 2**35}, 500_000)
assert line[5:7] == ["32.00 / 16.00", "by 16.0 no"]
print("refused")
"""


def test_what_cannot_be_is_refused_before_a_compile():
    assert run_python(REFUSED, devices=1).split()[-1] == "refused"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed")
def test_a_plan_says_what_theory_says(tmp_path):
    """Sixteen chips, small latents; a second call compiles nothing."""
    out = tmp_path / "plans.jsonl"
    options = ["--presets", "39M", "--side", "16", "--batch", "64", "--per-chip", "2"]
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
