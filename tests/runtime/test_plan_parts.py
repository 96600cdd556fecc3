"""What is read out of compiled programs and what is worked out from it, on saved text."""

import importlib.util
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from helpers import run_python

from equildm.runtime import count_flops
from equildm.runtime.ahead import DoesNotFit, out_of_memory
from equildm.runtime.collectives import read_collectives, summary
from equildm.runtime.flops import jaxpr_flops
from equildm.runtime.roofline import Roofline, roofline
from equildm.runtime.topology import CHIPS, describe_devices, parse_topology

HLO = (Path(__file__).parent / "collectives.hlo").read_text(encoding="utf-8")
MIB = 2**20


def test_collectives_of_a_program():
    """Two layers in a loop of four turns: the text is a compiler's, cut to what matters."""
    found = read_collectives(HLO, turns=4)
    kinds = summary(found)
    # One gather in the loop, one that is spread over two fusions, one asynchronous.
    assert kinds["all-gather"]["instructions"] == 3
    assert kinds["all-gather"]["runs"] == 4 + 1 + 1
    assert kinds["all-gather"]["bytes"] == (4 + 1 + 1) * 8 * MIB
    assert kinds["all-gather"]["received"] == kinds["all-gather"]["bytes"] * 15 / 16
    assert kinds["all-gather"]["largest"] == 8 * MIB
    assert kinds["reduce-scatter"] == {
        "instructions": 1,
        "runs": 4,
        "bytes": 4 * 8 * MIB,
        "received": 4 * 8 * MIB * 15 / 16,
        "largest": 8 * MIB,
    }
    # A pair of vectors, and the loss in the loop; the one within one device moves nothing.
    assert kinds["all-reduce"]["instructions"] == 2
    assert kinds["all-reduce"]["bytes"] == 4 * (4096 + 1024) + 4 * 4
    assert kinds["collective-permute"]["bytes"] == 2 * 128


@pytest.mark.parametrize(
    ("line", "size", "devices"),
    [
        ("((f32[1024]), f32[64]) reduce-scatter-start(x), replica_groups=[1,16]<=[16]", 4096, 16),
        ("((f32[64]), f32[1024]) all-gather-start(x), replica_groups=[1,16]<=[16]", 4096, 16),
        ("((f32[1024]), f32[1024]) all-to-all-start(x), replica_groups=[1,16]<=[16]", 4096, 16),
        ("f32[64] reduce-scatter(x), replica_groups={}", 4096, 64),
        ("f32[8] all-gather(x), replica_groups=mesh['a'=2,'b'=8], device_ids=(0) {'b'}", 32, 8),
        ("f32[8] all-gather(x), replica_groups=mesh['a'=2,'b'=8] {'a','b':(1)4}", 32, 8),
        ("f32[8] ragged-all-to-all(x), replica_groups={{0,1,2}}", 32, 3),
    ],
)
def test_forms_of_collectives(line, size, devices):
    text = f"HloModule m, num_partitions=64\n\nENTRY %main () -> f32[] {{\n  %r = {line}\n}}\n"
    (found,) = read_collectives(text)
    assert (found.size, found.devices) == (size if devices != 64 else 256 * 64, devices)


def test_a_length_that_the_text_says_wins():
    text = HLO.replace("body=%body,", 'body=%body, x="known_trip_count":{"n":"7"},')
    assert summary(read_collectives(text, turns=4))["reduce-scatter"]["runs"] == 7


def test_text_that_is_no_program():
    with pytest.raises(ValueError, match="ENTRY"):
        read_collectives("nothing")


@pytest.mark.parametrize(
    ("message", "needed", "limit"),
    [
        (
            "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total "
            "memory required for HLO temporaries (48.00G) exceeds available HBM (15.75G). HLO "
            "module: jit__lambda.",
            48.0,
            15.75,
        ),
        (
            "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory "
            "space hbm. Used 25.10G of 15.75G hbm. Exceeds hbm capacity by 9.35G.",
            25.10,
            15.75,
        ),
    ],
)
def test_out_of_memory(message, needed, limit):
    assert out_of_memory(message) == (needed * 2**30, limit * 2**30)
    error = str(DoesNotFit(needed * 2**30, limit * 2**30))
    assert f"{needed - limit:.2f} GiB too much" in error


def test_other_errors_are_not_memory():
    assert out_of_memory("INTERNAL: Mosaic failed to compile TPU kernel") is None


def test_roofline():
    chip = CHIPS["v5e"]
    bound = roofline(flops=197e12, traffic=2 * 819e9, received=0.5 * 200e9, chip=chip)
    assert (bound.compute, bound.memory, bound.links) == (1.0, 2.0, 0.5)
    assert bound.seconds == 2.0 and bound.limit == "memory"
    assert math.isclose(bound.utilisation(98.5e12, chip), 0.25)
    assert Roofline(1.0, 0.1, 3.0).limit == "links"


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
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"equildm\[tpu\]"):
        describe_devices("v5e:4x4")
    with pytest.raises(ValueError, match="v9"):
        describe_devices("v9:4x4")


def test_narrow_heads_are_counted_as_the_unit_takes_them():
    from equildm.nn import fused_attend
    from equildm.runtime.target import compiling_for

    shapes = [jax.ShapeDtypeStruct((256, 2, 8), jnp.bfloat16)] * 3
    with compiling_for("tpu"):
        jaxpr = jax.make_jaxpr(lambda *x: fused_attend(*x))(*shapes)
    plain, padded = jaxpr_flops(jaxpr).matmul, jaxpr_flops(jaxpr, lanes=128).matmul
    assert plain == count_flops(lambda *x: fused_attend(*x), *shapes).matmul
    assert padded == 16 * plain  # 8 wide on a unit of 128


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed")
def test_meshes_that_cut_a_torus_side():
    """Of 4 x 4 chips: 8 x 2 and 2 x 4 x 2. Nothing is compiled."""
    code = """
from equildm.runtime import make_mesh
from equildm.runtime.topology import describe_devices, plan_on_this_host
plan_on_this_host()
for name in ("data=8,fsdp=2", "data=2,fsdp=4,tensor=2", "fsdp=16"):
    mesh = make_mesh(name, devices=describe_devices("v5e:4x4"))
    assert len({device.id for device in mesh.devices.flat}) == 16, name
print("made")
"""
    assert run_python(code, devices=1).split()[-1] == "made"
