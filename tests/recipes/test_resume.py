"""A run that is killed, wherever, and resumed makes the losses of one that was not."""

import os
import signal
import subprocess
import sys
import time

import pytest
from helpers import ROOT, run_python

from equildm.runtime import read_metrics, Run

RECIPE = ROOT / "recipes" / "pretrain.py"
STEPS = 24


def losses(folder):
    lines = read_metrics(Run.open(folder).metrics)
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    return [line["loss"] for line in lines]


def killed(options, ready):
    """Starts the recipe, and kills it with signal 9 as soon as `ready()`."""
    process = subprocess.Popen(
        [sys.executable, str(RECIPE), *options],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for _ in range(30_000):
            if ready() or process.poll() is not None:
                break
            time.sleep(0.01)
        assert process.poll() is None, f"it ended before it was killed: {process.stderr.read()}"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.mark.slow
def test_killed_and_resumed_is_uninterrupted(options, tmp_path):
    uninterrupted, broken = tmp_path / "uninterrupted", tmp_path / "broken"
    steps = ["--steps", str(STEPS)]
    run_python(RECIPE, *options, *steps, "--run", str(uninterrupted), devices=1)

    options = [*options, *steps, "--run", str(broken), "--resume", "--new"]
    metrics = broken / "metrics.jsonl"

    def reached(step):
        return lambda: metrics.exists() and len(metrics.read_bytes().splitlines()) >= step

    def saving():
        return any((broken / "checkpoints").glob("*tmp*"))

    killed(options, reached(6))  # some steps after the first checkpoint, or in the middle of it
    killed(options, saving)  # in the middle of a save
    killed(options, reached(17))
    run_python(RECIPE, *options, devices=1)
    assert losses(broken) == losses(uninterrupted)


@pytest.mark.slow
def test_a_run_is_not_overwritten_and_not_changed(options, tmp_path):
    run = tmp_path / "run"
    run_python(RECIPE, *options, "--steps", "5", "--run", str(run), devices=1)

    def refusal(*more):
        try:
            run_python(RECIPE, *options, "--steps", "5", "--run", str(run), *more, devices=1)
        except AssertionError as error:
            return str(error)
        raise AssertionError("it was accepted")

    assert "Pass resume to go on" in refusal()
    assert "seed is 0" in refusal("--resume", "--seed", "7")
