"""The runs of a study, and the ways in which each is sampled."""

import dataclasses
import shutil

import pytest

from equildm.data import DataConfig
from equildm.denoise import dit_preset, mmdit_preset
from equildm.distill import DistillConfig
from equildm.noise import Epsilon, FlowVelocity, RectifiedFlow, ScaledLinear, Velocity
from equildm.study import GridConfig, normalised_cost, open_runs, points, StudyRun
from equildm.study.evaluations import evaluations_in
from equildm.training import TrainConfig

GRID = GridConfig(
    samplers=("ddim", "dpm++2m"),
    sampling_steps=(2, 4),
    guidance_scale=(1.0, 3.0, 7.0),
    student_steps=(1, 8),
    reference=("ddim", 4, 3.0),
)


def student(make_run, name, method, **options):
    distill = DistillConfig(method=method, **options.pop("distill", {}))
    return make_run(name, recipe="distill", distill=distill, **options)


def ways(path, grid=GRID):
    return {
        (p.train_step, p.sampler, p.steps, p.guidance)
        for p, _ in points([StudyRun.open(path)], grid)
    }


def test_the_last_checkpoint_gets_the_grid_and_earlier_ones_the_reference(make_run):
    path = make_run("c016", newest=8, earlier=(2, 4, 8))
    grid = {(8, s, n, w) for s in ("ddim", "dpm++2m") for n in (2, 4) for w in (1.0, 3.0, 7.0)}
    assert ways(path) == grid | {(2, "ddim", 4, 3.0), (4, "ddim", 4, 3.0)}
    more = dataclasses.replace(GRID, earlier_steps=(2, 16))
    earlier = {(step, "ddim", n, 3.0) for step in (2, 4) for n in (2, 4, 16)}
    assert ways(path, more) == grid | earlier | {(8, "ddim", 16, 3.0)} and more.most_steps == 16


@pytest.mark.parametrize(
    ("method", "options", "scales"),
    [
        ("codi", {}, {1.0, 3.0, 7.0}),
        ("lcm", {"guidance_range": (1.0, 6.0)}, {1.0, 3.0}),
        ("lcm", {"guidance_range": (4.0, 5.0)}, {2.0}),  # none of the grid: the model's own
        ("lcm", {"guidance": "fixed", "guidance_range": (3.0, 3.0)}, {1.0}),
    ],
)
def test_a_student_has_its_own_sampler_and_scales(make_run, method, options, scales):
    path = student(make_run, "student", method, distill=options, newest=6)
    sampler = "consistency" if method == "lcm" else "consistency-deterministic"
    assert ways(path) == {(6, sampler, steps, scale) for steps in (1, 8) for scale in scales}


def test_each_number_of_steps_has_the_student_of_its_stage(make_run):
    options = {"guidance_range": (1.0, 6.0)}
    stages = ((16, 6), (8, 9), (4, 12))
    path = student(make_run, "s", "guided", distill=options, newest=12, stages=stages)
    assert {(step, n) for step, _, n, _ in ways(path)} == {(12, 1), (9, 8)}


def test_points_come_model_by_model_newest_checkpoint_first(make_run):
    runs = open_runs([make_run("b", earlier=(2,)), make_run("a")])
    grid = dataclasses.replace(GRID, seeds=(0, 1))
    ordered = [point for point, _ in points(runs, grid)]
    assert len(ordered) == len(set(ordered)) == 2 * (12 + 1) + 2 * 12
    keys = [(point.run == "a", -point.train_step, point.sampler) for point in ordered]
    assert keys == sorted(keys)
    assert all(run.name == point.run for point, run in points(runs, grid))


def test_a_run_knows_its_size_and_cost(make_run):
    plain = StudyRun.open(make_run("c016"))
    lcm = StudyRun.open(student(make_run, "c016-lcm", "lcm"))
    assert (plain.size, plain.method, plain.batch_size) == (("unet", 16, 0), "", 8)
    assert (lcm.size, lcm.method, lcm.cost) == (plain.size, "lcm", plain.cost)
    assert lcm.gflops == plain.gflops and lcm.parameters > plain.parameters > 10**6
    assert [plain.network.branches(scale) for scale in (0.0, 1.0, 3.0)] == [1, 1, 2]
    assert lcm.network.branches(3.0) == 1


@pytest.mark.parametrize(
    ("preset", "noise", "size"),
    [
        (dit_preset, (ScaledLinear(), Velocity()), ("dit", 128, 6)),
        (dit_preset, (ScaledLinear(), Epsilon()), ("dit scaled-linear/eps", 128, 6)),
        (mmdit_preset, (RectifiedFlow(), FlowVelocity()), ("mmdit rectified-flow/flow", 128, 6)),
    ],
)
def test_a_transformer_and_a_process_are_families(make_run, preset, noise, size):
    sizes = preset("tiny", in_channels=16, out_channels=16, context_width=384)
    run = StudyRun.open(make_run("run", sizes=sizes, noise=noise))
    assert run.size == size and 0 < run.cost < 0.1
    assert run.cost == normalised_cost(preset("tiny"))


def test_a_run_without_a_checkpoint_is_named(make_run):
    path = make_run("c016", newest=8)
    shutil.rmtree(path / "checkpoints" / "8")
    with pytest.raises(ValueError, match="c016 has no checkpoint yet"):
        ways(path)


def test_runs_of_one_study_have_the_same_data(make_run):
    one, two = make_run("one"), make_run("two", width=32, train=TrainConfig(seed=3))
    # Emoji are split by caption, which a run of before there was a choice says outright.
    old = make_run("old", data=DataConfig(hold_out="caption"))
    alike = [one, two, student(make_run, "one-lcm", "lcm"), old]
    assert [run.name for run in open_runs(alike)] == ["one", "two", "one-lcm", "old"]
    assert open_runs([]) == []
    for stranger, words in (
        (make_run("other", data=DataConfig(size=64)), "same --size, received 64"),
        (student(make_run, "lcm", "lcm", data=DataConfig(size=64)), "same --size, received 64"),
        (make_run("data", data=DataConfig(source="shapes")), "same --data, received 'shapes'"),
        (make_run("held", data=DataConfig(held_out=0.5)), "same --held-out, received 0.5"),
        (make_run("unit", data=DataConfig(hold_out="image")), "same --hold-out, received 'image'"),
        (make_run("tokens", max_tokens=8), "same --max-tokens, received 8"),
        (make_run("upscaler", recipe="super_resolution"), "of super_resolution"),
        (make_run("more/one"), "distinguished by their folder's name"),
    ):
        with pytest.raises(ValueError) as error:
            open_runs([one, stranger])
        assert words in str(error.value) and stranger.name in str(error.value)


@pytest.mark.slow
def test_evaluations_are_linear_in_the_steps():
    assert [evaluations_in("ddim", steps) for steps in (1, 2, 50)] == [1, 2, 50]
    assert [evaluations_in("heun", steps) for steps in (1, 4, 9)] == [1, 7, 17]
