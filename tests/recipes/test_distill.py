"""A run, its students, and what becomes of them: stages, resuming, shards, sampling."""

import json
import shutil

import numpy as np
import pytest
from helpers import refusals, ROOT, run_python
from PIL import Image

from equildm.runtime import Checkpoints, read_metrics, Run

RECIPES = ROOT / "recipes"
SHORT = ("--warmup", "1", "--every.log", "1", "--every.sample", "100", "--batch-size", "8")


@pytest.fixture
def teacher(options, tmp_path):
    run = tmp_path / "teacher"
    run_python(RECIPES / "pretrain.py", *options, "--run", str(run), "--steps", "6", devices=1)
    return run


def distill(teacher, run, *options, devices=1):
    return run_python(
        RECIPES / "distill.py",
        *(str(teacher), "--run", str(run), *SHORT, *options),
        devices=devices,
    )


def losses(run):
    return {line["step"]: line["loss"] for line in read_metrics(Run.open(run).metrics)}


@pytest.mark.slow  # five processes that compile a step
def test_stages_are_phases_of_one_run_that_resumes_anywhere(teacher, tmp_path):
    whole = tmp_path / "whole"
    guided = ("--method", "guided", "--weights", "1", "4", "--stages", "2", "1", "--steps", "6")
    every = ("--every.save", "1", "--keep", "10", "--prompts")
    distill(teacher, whole, *guided, *every)
    assert sorted(losses(whole)) == [1, 2, 3, 4, 5, 6]
    assert Checkpoints(Run.open(whole).averages).steps() == [2, 4, 6]

    model = json.loads((whole / "model.json").read_text())
    assert model["unet"]["guidance_width"] == 256
    assert model["distilled"]["sampler"] == "ddim" and model["distilled"]["weight"] == 3.0
    assert model["distilled"]["stages"] == [[2, 4], [1, 6]] and model["distilled"]["steps"] == 1

    # Killed within a phase; and between two, before the snapshot of the first was there.
    for name, newest, snapshots in (("within", 3, (4, 6)), ("between", 2, (2, 4, 6))):
        broken = tmp_path / name
        shutil.copytree(whole, broken)
        for step in range(newest + 1, 7):
            shutil.rmtree(broken / "checkpoints" / str(step))
        for step in snapshots:
            shutil.rmtree(broken / "averages" / str(step))
        config = json.loads((broken / "config.json").read_text())
        config["config"]["run"] = str(broken)
        (broken / "config.json").write_text(json.dumps(config))
        distill(teacher, broken, *guided, *every, "--resume")
        assert losses(broken) == losses(whole)

    for steps in ("1", "2"):  # each by its own student, which was done at another step
        printed = run_python(
            RECIPES / "sample.py",
            *(str(whole), "--prompt", "a red square", "--count", "2", "--steps", steps),
            devices=1,
        )
        assert f"step {6 if steps == '1' else 4} of" in printed
        with Image.open(whole / "samples" / f"ddim_{steps}.png") as picture:
            assert picture.size[0] > 2 * 32


@pytest.mark.slow  # compiles the step for eight devices
def test_teacher_and_student_may_lie_in_shards(teacher, tmp_path):
    codi = ("--method", "codi", "--steps", "3", "--rate", "1e-4")
    distill(teacher, tmp_path / "one", *codi)
    distill(teacher, tmp_path / "eight", *codi, "--prompts", "--mesh", "fsdp=8", devices=8)
    one, eight = losses(tmp_path / "one"), losses(tmp_path / "eight")
    np.testing.assert_allclose(list(eight.values()), list(one.values()), rtol=1e-4)
    with Image.open(tmp_path / "one" / "samples" / "step_00000003.png") as picture:
        assert picture.size[0] > 4 * 32
    printed = run_python(
        RECIPES / "compare_students.py",
        *(str(teacher), str(tmp_path / "one"), "--steps", "1", "4", "--cfg", "1", "2"),
        *("--split", "training", "--count", "8", "--teacher-solvers", "ddim"),
        *("--out", str(tmp_path / "students")),
        devices=1,
    )
    assert "steps of the teacher for it" in printed
    scores = json.loads((tmp_path / "students" / "scores.json").read_text())["scores"]
    assert len(scores) == 8
    assert {p.suffix for p in (tmp_path / "students").iterdir()} == {".json", ".csv", ".md", ".png"}


REFUSED = [
    (("--method", "guided", "--stages", "8", "3"), "half the steps"),
    (("--method", "progressive", "--steps", "100"), "3 phases of progressive"),
    (("--method", "lcm", "--guidance", "fixed"), "Pass --weights 3 3"),
    (("--method", "guided", "--guidance", "none"), "guided has no guidance"),
]


def test_what_cannot_work_is_refused_at_once(tmp_path):
    where = (str(tmp_path / "nothing"), "--run", str(tmp_path / "run"), *SHORT)
    said = refusals(RECIPES / "distill.py", *((*where, *options) for options, _ in REFUSED))
    for told, (_, message) in zip(said, REFUSED, strict=True):
        assert message in told
    assert not (tmp_path / "run").exists()
