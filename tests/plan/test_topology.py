"""Slices of TPUs: which there are, and their devices."""

import importlib.util
import math

import pytest
from helpers import run_python

from equildm.plan import describe_devices, parse_topology


def test_topologies():
    chip, shape = parse_topology("v5p:4x4x4")
    assert chip.name == "v5p" and shape == (4, 4, 4)
    for text in ("v5e:8x16", "v5e:4x2", "v6e:1x1", "v5p:2x2x1", "v5p:4x4x8", "v5p:1x1x1"):
        assert math.prod(parse_topology(text)[1]) <= 128
    for text in ("v5e:3x3", "v5e:1x256", "v6e:2x8", "v5p:5x5x5", "v5p:1x1x2"):
        with pytest.raises(ValueError, match="or multiples of 4; received"):
            parse_topology(text)
    for text in ("v9:4x4", "v5e", "v5e:4", "v5e:4x4x4", "v5p:4x4", "v5e:0x4", "v5e:4xx4", "v5e:a"):
        with pytest.raises(ValueError, match="received"):
            parse_topology(text)
    with pytest.raises(ValueError, match="at most 256"):
        parse_topology("v6e:32x32")


def test_without_libtpu_the_fix_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"jax\[tpu\]"):
        describe_devices("v5e:4x4")
    with pytest.raises(ValueError, match="v9"):
        describe_devices("v9:4x4")


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed")
def test_meshes_that_cut_a_torus_side():
    """Of 4 x 4 chips: 8 x 2 and 2 x 4 x 2. Nothing is compiled."""
    code = """
from equildm.plan import describe_devices, plan_on_this_host
from equildm.runtime import make_mesh
plan_on_this_host()
for name in ("data=8,fsdp=2", "data=2,fsdp=4,tensor=2", "fsdp=16"):
    mesh = make_mesh(name, devices=describe_devices("v5e:4x4"))
    assert len({device.id for device in mesh.devices.flat}) == 16, name
print("distinct")
"""
    assert run_python(code, devices=1).split()[-1] == "distinct"
