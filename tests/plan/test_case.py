"""The cases of a plan: what is refused before any compile, what is attempted, what is saved."""

import json

import pytest
from helpers import ROOT

from equildm.plan import PlanCase, PlanConfig, read_results, result_of


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"presets": ("huge",)}, "received 'huge'"),
        ({"topologies": ("v9:4x4",)}, "received 'v9:4x4'"),
        ({"topologies": ("v5e:4",)}, "has 2 sides"),
        ({"topologies": ("v5e:3x3",)}, "v5e has sides of 1x1, 2x2, 2x4, or"),
        ({"meshes": ("rows=16",)}, "'rows'"),
        ({"meshes": ("data=8",)}, "16 in all; received 'data=8'"),
        ({"meshes": ()}, "at least one value"),
        ({"batch_size": 40}, "data x fsdp = 16 devices, received 40"),
        ({"per_chip": -1}, "--per-chip is a number"),
        ({"per_chip": 3}, "128 a chip, which must be a multiple of --per-chip, received 3"),
        ({"side": 63}, "--side is a positive multiple of 8, received 63"),
        ({"side": 0}, "received 0"),
        ({"tokens": 0}, "--tokens is at least 1, received 0"),
        ({"sampling_steps": 0}, "--sampling-steps is at least 1, received 0"),
    ],
)
def test_what_cannot_be_compiled_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PlanConfig(**options)


def test_attempts_go_from_the_most_examples_a_chip_to_one():
    (case,) = PlanConfig(per_chip=8).cases()
    assert (case.mesh, case.batch_shards, case.parts) == ("fsdp=16", 16, 16)
    assert case.attempts() == [case]
    (search,) = PlanConfig().cases()
    assert [each.per_chip for each in search.attempts()] == [128, 64, 32, 16, 8, 4, 2, 1]
    (odd,) = PlanConfig(batch_size=4000).cases()
    assert [each.per_chip for each in odd.attempts()] == [125, 50, 25, 10, 5, 2, 1]


def test_every_combination_is_a_case():
    cases = PlanConfig(
        presets=("39M", "2B"), meshes=("", "data=4,fsdp=4"), programs=("train", "sample")
    ).cases()
    assert len(cases) == len({json.dumps(case.key()) for case in cases}) == 8
    assert [case.program for case in cases[:2]] == ["train", "sample"]
    assert {case.mesh for case in cases} == {"fsdp=16", "data=4,fsdp=4"}
    assert cases[0].file_name() == "train_39M_v5e-4x4_fsdp=16_0_blocks_adamw"


def test_a_sampler_takes_one_part_at_a_time():
    options = {"topologies": ("v5e:2x4",), "batch_size": 64, "per_chip": 2}
    train, sample = PlanConfig(programs=("train", "sample"), **options).cases()
    assert train.parts == sample.parts == 4
    assert (train.program_parts, train.program_batch_size) == (4, 64)
    assert (sample.program_parts, sample.program_batch_size) == (1, 16)


def test_published_results_are_found_by_their_case():
    """Equal options make the key that the file holds, so that nothing is compiled again."""
    results = read_results(ROOT / "docs" / "scale" / "plans.jsonl")
    assert len(results) > 20
    names = {"what": "program", "batch": "batch_size", "sampler_steps": "sampling_steps"}
    for result in results:
        case = PlanCase(**{names.get(name, name): value for name, value in result["case"].items()})
        assert case.key() == result["case"]
        assert result_of(results, case) is not None
        assert case.parts == result["parts"]
