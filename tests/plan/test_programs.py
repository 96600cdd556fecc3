"""The programs of a plan on a mesh of no devices: their shapes, and what theory says they send."""

import dataclasses

import jax
import pytest
from jax.sharding import AbstractMesh, AxisType

from equildm.plan import abstract_program, expected_collectives, PlanConfig
from equildm.runtime import parse_mesh
from equildm.runtime.mesh import AXES


def case_on(mesh, **options):
    """A case on eight chips, and their mesh."""
    options = {"batch_size": 64, "per_chip": 8, **options}
    (case,) = PlanConfig(topologies=("v5e:2x4",), meshes=(mesh,), **options).cases()
    sizes = parse_mesh(mesh)
    sides = tuple(sizes.get(axis, 1) for axis in AXES)
    return case, AbstractMesh(sides, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def expected_bytes(mesh, **options):
    return {
        kind: traffic["bytes"]
        for kind, traffic in expected_collectives(*case_on(mesh, **options)).items()
    }


def test_theory_by_mesh():
    """A sampler gathers; a mesh with `data` sums gradients."""
    entire, halves = expected_bytes("fsdp=8"), expected_bytes("fsdp=4,tensor=2")
    assert halves["all-gather"] == entire["all-gather"]  # half of each kernel, for two parts
    copies = expected_bytes("data=8")
    assert copies["all-gather"] == copies["reduce-scatter"] == 0
    assert copies["all-reduce"] > 4 * 38e6
    both = expected_bytes("data=4,fsdp=2")
    assert entire["all-reduce"] < both["all-reduce"] < 0.6 * copies["all-reduce"]
    assert set(expected_bytes("fsdp=8", programs=("sample",))) == {"all-gather"}


@pytest.mark.parametrize(("remat", "count"), [("none", 293), ("blocks", 325)])
def test_theory_by_rematerialisation(remat, count):
    assert expected_collectives(*case_on("fsdp=8", remat=remat))["all-gather"]["count"] == count


def test_a_sampler_takes_so_many_a_chip_at_once():
    case, mesh = case_on("fsdp=8", programs=("sample",), per_chip=1)
    _, _, noise, text = abstract_program(case, mesh).args
    assert case.parts == 8
    assert noise.shape == (8, 64, 64, 4) and text.tokens.shape == (8, 77, 1024)


def test_a_training_step_takes_the_batch_and_donates_the_state():
    case, mesh = case_on("fsdp=8", presets=("tiny",), side=16, tokens=7, context_width=64)
    program = abstract_program(case, mesh)
    objective, state, batch = program.args
    assert program.donate == (1,) and state.step.shape == ()
    assert batch.latents.shape == (64, 16, 16, 4) and batch.text.mask.shape == (64, 7)
    assert objective.null_text.tokens.shape == (7, 64)


def test_a_transformer_is_gathered_block_by_block():
    """Its caption is projected, so that the kernels which read it are gathered again."""
    sizes = {"backbone": "dit", "presets": ("39M",), "side": 16, "tokens": 7}
    case, mesh = case_on("fsdp=8", remat="blocks", **sizes)
    assert case.network.scan and case.title().startswith("dit 39M train")
    assert case.key()["backbone"] == "dit"
    expected = expected_collectives(case, mesh)
    stacked = 11  # modulation, eight projections of attentions, two of the feed-forward layer
    outside = expected["reduce-scatter"]["count"] - stacked
    assert expected["all-gather"]["count"] == 2 * stacked + outside


def test_a_transformer_is_counted_with_its_blocks_written_out():
    """XLA counts a loop's bytes once. The program that runs has the loop, and less to compile."""
    sizes = {"backbone": "dit", "presets": ("tiny",), "side": 16, "tokens": 7, "context_width": 64}
    case, mesh = case_on("fsdp=8", programs=("sample",), **sizes)
    assert case.network.scan and dataclasses.replace(case.network, scan=False) == case.unrolled
    texts = []
    for unrolled in (False, True):
        program = abstract_program(case, mesh, unrolled=unrolled)
        texts.append(str(jax.make_jaxpr(program.function)(*program.args)))
    assert texts[0].count("dot_general") < texts[1].count("dot_general")
    unet, _ = case_on("fsdp=8")
    assert unet.unrolled == unet.network
