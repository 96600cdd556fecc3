"""What a recipe that trains refuses, before there is a folder."""

from helpers import assert_refused, CHECK_REFUSALS, ROOT, run_python

RECIPES = ROOT / "recipes"
REFUSED = [
    (["--steps", "0"], "--steps is at least 1, received 0"),
    (["--batch-size", "0"], "--batch-size is at least 1, received 0"),
    (["--accumulate", "3"], "received 64 examples and --accumulate 3"),
    (["--learning-rate", "nan"], "is positive, received nan"),
    (["--clip", "nan"], "above 0, received nan"),
    (["--snapshots", "-1"], "--snapshots is at least 0, received -1"),
    (["--guidance-scale", "nan"], "--guidance-scale is a finite number, received nan"),
    (["--decay", "cosine", "--steps", "50"], "exceed the warm-up of 100"),
    (["--mesh", "data=3"], "received 'data=3' which makes 3"),
    (["--optimizer", "sgd"], "--optimizer is one of adamw, adamw-bf16, adafactor; received"),
    (["--tracker", "none", "wandb"], "none stands alone, received --tracker none wandb"),
    (["--validate-every", "-5"], "a number of steps, received -5"),
]


def test_what_cannot_work_is_refused_and_leaves_no_folder(tmp_path):
    run = tmp_path / "run"
    assert_refused(RECIPES / "pretrain.py", REFUSED, "--run", str(run), "--data", "shapes")
    assert not run.exists()


CODE = """
from equildm.training import MonitorConfig, OptimizerConfig, TrainConfig

refusals = [
    (lambda: TrainConfig(ema="none"), "--ema is one of power, decay"),
    (lambda: TrainConfig(compute="float16"), "received 'float16'"),
    (lambda: OptimizerConfig(optimizer="sgd"), "--optimizer is one of adamw"),
    (lambda: MonitorConfig(trackers=("board",)), "--tracker is one of tensorboard, wandb, none"),
    (lambda: OptimizerConfig(decay="linear"), "'constant' or 'cosine', received 'linear'"),
    (lambda: TrainConfig(accumulate=8, mesh="data=8").launch(), "8 devices, received 4"),
    (lambda: TrainConfig(mesh="data=3").launch(), "received 'data=3'"),
]
"""
AFTER = """
mesh = TrainConfig(accumulate=4, mesh="data=2,fsdp=4").launch()
assert mesh.size == 8
print("refused")
"""


def test_names_and_devices_are_checked():
    """Without checked annotations, as they are not in a program of yours."""
    assert run_python(CODE + CHECK_REFUSALS + AFTER).split()[-1] == "refused"
