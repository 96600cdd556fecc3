"""A run's students: stages, resuming, shards, adapters, sampling."""

import shutil

import jax
import numpy as np
import pytest
from helpers import assert_refused, ROOT, run_python
from PIL import Image
from run_folders import losses

from equildm.data import DataConfig
from equildm.denoise import GuidanceEmbeddingConfig
from equildm.distill import ConsistencyConfig
from equildm.pretrained import load_pretrained, read_run_model
from equildm.runtime import Checkpoints, Run
from equildm.training import LoRAConfig

RECIPES = ROOT / "recipes"
SHORT = ("--warmup", "1", "--log-every", "1", "--preview-every", "100", "--batch-size", "8")


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


@pytest.mark.slow  # five processes that compile a step
def test_stages_are_phases_of_one_run_that_resumes_anywhere(teacher, tmp_path):
    complete = tmp_path / "complete"
    guided = ("--method", "guided", "--guidance-range", "1", "4", "--stages", "2", "1")
    options = (*guided, "--steps", "6", "--save-every", "1", "--keep", "10", "--prompts")
    distill(teacher, complete, *options)
    assert sorted(losses(complete)) == [1, 2, 3, 4, 5, 6]
    assert Checkpoints(Run.open(complete).averages).steps() == [2, 4, 6]

    config = read_run_model(Run.open(complete))
    assert isinstance(config.model.network, GuidanceEmbeddingConfig)
    assert config.model.network.width == 256
    assert config.model.solver == "ddim" and config.model.guidance_scale == 3.0
    assert config.stages == ((2, 4), (1, 6)) and config.model.sampling_steps == 1

    # Killed within a phase; and between two, before the snapshot of the first was there.
    for name, newest, snapshots in (("within", 3, (4, 6)), ("between", 2, (2, 4, 6))):
        broken = tmp_path / name
        shutil.copytree(complete, broken)
        for step in range(newest + 1, 7):
            shutil.rmtree(broken / "checkpoints" / str(step))
        for step in snapshots:
            shutil.rmtree(broken / "averages" / str(step))
        distill(teacher, broken, *options, "--resume")
        assert losses(broken) == losses(complete)

    for steps in ("1", "2"):  # each by its own student, finished at another training step
        image = tmp_path / f"{steps}.png"
        printed = run_python(
            RECIPES / "sample.py",
            *(str(complete), "--prompt", "a red square", "--count", "2"),
            *("--sampling-steps", steps, "--out", str(image)),
            devices=1,
        )
        assert f"step {6 if steps == '1' else 4} of" in printed
        with Image.open(image) as sheet:
            assert sheet.size[0] > 2 * 32


@pytest.mark.slow  # compiles the step for eight devices
def test_teacher_and_student_may_lie_in_shards(teacher, tmp_path):
    codi = ("--method", "codi", "--steps", "3", "--learning-rate", "1e-4")
    distill(teacher, tmp_path / "one", *codi)
    distill(teacher, tmp_path / "eight", *codi, "--prompts", "--mesh", "fsdp=8", devices=8)
    one, eight = losses(tmp_path / "one"), losses(tmp_path / "eight")
    np.testing.assert_allclose(list(eight.values()), list(one.values()), rtol=1e-4)
    with Image.open(tmp_path / "one" / "samples" / "step_00000003.png") as sheet:
        assert sheet.size[0] > 4 * 32


@pytest.mark.slow  # compiles two steps
def test_a_run_of_adapters_holds_the_network_that_they_adapt(teacher, tmp_path):
    run = tmp_path / "lora"
    distill(teacher, run, "--method", "codi", "--lora", "2", "--steps", "2")
    config = read_run_model(Run.open(run))
    assert config.trained == LoRAConfig(2)
    assert isinstance(config.model.network, ConsistencyConfig)
    data = DataConfig.of_run(Run.open(run))
    assert data == DataConfig.of_run(Run.open(teacher)) and data.record.startswith("caption:")
    assert {p.name for p in run.iterdir()} >= {"base", "vae", "model.json", "config.json"}

    # The first step of a cosine moves `up` away from 0, and with it the merged weights.
    teachers, students = (load_pretrained(path).network for path in (teacher, run))
    shapes = [jax.tree.map(lambda x: x.shape, network) for network in (teachers, students)]
    assert shapes[0] == shapes[1]
    changed = [
        not np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(teachers), jax.tree.leaves(students), strict=True)
    ]
    assert 0 < sum(changed) < len(changed) / 2


REFUSED = [
    (("--method", "guided", "--stages", "8", "3"), "half the sampling steps"),
    (("--method", "progressive", "--steps", "100"), "3 phases of progressive"),
    (("--method", "lcm", "--guidance", "fixed"), "--guidance-range 3 3"),
    ((), "holds a config.json"),
]


def test_what_cannot_work_is_refused_at_once(tmp_path):
    command = (str(tmp_path / "nothing"), "--run", str(tmp_path / "run"), *SHORT)
    assert_refused(RECIPES / "distill.py", REFUSED, *command)
    assert not (tmp_path / "run").exists()
