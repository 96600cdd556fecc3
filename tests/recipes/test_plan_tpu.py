"""Planning for TPUs: what is refused before any compile, tables of saved results, one true case."""

import importlib.util
import json

import pytest
from helpers import ROOT, run_python

RECIPE = ROOT / "recipes" / "plan_tpu.py"

REFUSED = """
import dataclasses, sys
sys.path.insert(0, "recipes")
from plan_tpu import attempts, Config, planned, read
from planned import _expected, _network, abstract_sampling
from plans import best, row

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
assert "v5e has sides of 1x1, 2x2, 2x4, or" in refused(topologies=("v5e:3x3",))
assert "at least one value" in refused(meshes=())
assert "--per-chip is a number" in refused(per_chip=-1)
for wrong in (dict(side=63), dict(side=0), dict(tokens=0), dict(sampler_steps=0), dict(steps=0)):
    assert "received " + str(*wrong.values()) in refused(**wrong)
assert "128 a chip, which must be a multiple of --per-chip, received 3" in refused(per_chip=3)

case, = planned(Config(per_chip=8))
assert (case.mesh, case.parallel, case.parts) == ("fsdp=16", 16, 16)
assert [each.per_chip for each in attempts(case, 8)] == [8]
assert [each.per_chip for each in attempts(case, 0)] == [128, 64, 32, 16, 8, 4, 2, 1]
odd, = planned(Config(batch=4000))
assert [each.per_chip for each in attempts(odd, 0)] == [125, 50, 25, 10, 5, 2, 1]

too_big = dict(case=case.key(), chips=16, per_chip=8, parts=16, limit=2**34, fits=False)
line = row(too_big | {"memory": 2**35}, 500_000)
assert line[5:7] == ["32.00 / 16.00", "by 16.0 no"]

# A star is for the fastest of several meshes, all else alike.
def result(mesh, seconds, **other):
    key = dict(case.key(), mesh=mesh, **other)
    return dict(case=key, fits=True, bound=dict(seconds=seconds))
slow, fast = result("fsdp=16", 2.0), result("data=4,fsdp=4", 1.0)
remat = result("data=16", 0.5, remat="dots")
assert [best([slow, fast, remat], each) for each in (slow, fast, remat)] == [False, True, False]

# What the mesh explains: of a sampler its gathers; over data, sums of gradients.
from equildm.runtime import make_mesh
def theory(mesh, **options):
    options |= dict(topologies=("v5e:2x4",), meshes=(mesh,), batch=64, per_chip=8)
    case, = planned(Config(**options))
    return _expected(case, _network(case), make_mesh(mesh))
bytes_of = lambda found: {kind: one["bytes"] for kind, one in found.items()}
whole, halves = bytes_of(theory("fsdp=8")), bytes_of(theory("fsdp=4,tensor=2"))
assert halves["all-gather"] == whole["all-gather"]  # of each kernel half, for two parts
alone = bytes_of(theory("data=8"))
assert alone["all-gather"] == alone["reduce-scatter"] == 0 and alone["all-reduce"] > 4 * 38e6
both = bytes_of(theory("data=4,fsdp=2"))
assert whole["all-reduce"] < both["all-reduce"] < 0.6 * alone["all-reduce"]
counts = [theory("fsdp=8", remat=remat)["all-gather"]["count"] for remat in ("none", "blocks")]
assert counts == [293, 325]

# A sampler takes so many a chip at once, and a file cut off in a line goes on.
case, = planned(Config(topologies=("v5e:2x4",), what=("sample",), batch=64, per_chip=1))
_, (_, _, noise, _), _, _ = abstract_sampling(case, make_mesh("fsdp=8"))
assert noise.shape == (8, 64, 64, 4) and case.parts == 8
import pathlib, tempfile
path = pathlib.Path(tempfile.mkdtemp()) / "plans.jsonl"
path.write_text('{"a": 1}\\n{"a": ')
assert read(path) == [{"a": 1}] == read(path) and path.read_text() == '{"a": 1}\\n'
print("refused")
"""


def test_what_cannot_be_is_refused_before_a_compile():
    assert run_python(REFUSED).split()[-1] == "refused"


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
