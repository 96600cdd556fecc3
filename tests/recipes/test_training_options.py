"""What a recipe that trains refuses, before there is a folder."""

from helpers import refusals, ROOT, run_python

RECIPES = ROOT / "recipes"
REFUSED = {
    "--steps is at least 1, received 0": ["--steps", "0"],
    "--batch-size is at least 1, received 0": ["--batch-size", "0"],
    "received 32 examples and --accumulate 3": ["--accumulate", "3"],
    "is positive, received nan": ["--learning-rate", "nan"],
    "above 0, received nan": ["--clip", "nan"],
    "received --snapshots -1": ["--snapshots", "-1"],
    "exceed the warm-up of 100": ["--decay", "cosine", "--steps", "50"],
    "received 'data=3' which makes 3": ["--mesh", "data=3"],
    "invalid choice": ["--optimizer", "sgd"],
}


def test_what_cannot_work_is_refused_and_leaves_no_folder(tmp_path):
    run = tmp_path / "run"
    common = ["--run", str(run), "--data", "shapes"]
    messages = refusals(
        RECIPES / "pretrain.py", *([*common, *options] for options in REFUSED.values())
    )
    for expected, message in zip(REFUSED, messages, strict=True):
        assert expected in " ".join(message.replace("│", " ").split()), message
    assert not run.exists()


CODE = """
from equildm.training import OptimizerConfig, TrainConfig

for make, message in [
    (lambda: TrainConfig(ema="none"), "--ema is one of power, decay"),
    (lambda: TrainConfig(compute="float16"), "received 'float16'"),
    (lambda: OptimizerConfig(optimizer="sgd"), "--optimizer is one of adamw"),
    (lambda: OptimizerConfig(decay="linear"), "'constant' or 'cosine', received 'linear'"),
    (lambda: TrainConfig(accumulate=8, mesh="data=8").launch(), "8 devices, received 4"),
    (lambda: TrainConfig(mesh="data=3").launch(), "received 'data=3'"),
]:
    try:
        make()
    except ValueError as error:
        assert message in str(error), error
    else:
        raise AssertionError(message)
mesh = TrainConfig(accumulate=4, mesh="data=2,fsdp=4").launch()
assert mesh.size == 8
print("refused")
"""


def test_names_and_devices_are_checked():
    """Without checked annotations, as they are not in a program of yours."""
    assert run_python(CODE).split()[-1] == "refused"
