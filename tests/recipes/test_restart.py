"""Processes that are stopped, killed and launched again, as more or fewer: the curve is the same.

The recipe is `small.py`, beside this file.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
from helpers import free_port, ROOT

from equildm.runtime import Checkpoints, read_metrics, Run, STOPPED

RECIPE = ROOT / "tests" / "recipes" / "small.py"
STEPS = 12


@contextmanager
def launched(run, *options, processes=1, devices=1):
    """Launches the recipe in some processes, each with some devices. None outlives the block."""
    env = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices), "PYTHONPATH": str(ROOT)}
    address = f"127.0.0.1:{free_port()}"
    env |= {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": str(processes)}
    command = [sys.executable, str(RECIPE), "--run", str(run), "--resume", "--new"]
    command += ["--steps", str(STEPS), "--decay", "constant"]
    logs = [open(f"{run}.{number}.log", "a+") for number in range(processes)]  # noqa: SIM115
    started = [
        subprocess.Popen(
            [*command, *options],
            cwd=ROOT,
            env=os.environ | env | {"JAX_PROCESS_ID": str(number)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        for number, log in enumerate(logs)
    ]
    try:
        yield started
    finally:
        for process, log in zip(started, logs, strict=True):
            process.kill()
            process.wait()
            log.close()


def finish(run, *options, **how):
    """Runs it to the end; returns a hash of the state it ends with."""
    with launched(run, *options, **how) as started:
        for number, process in enumerate(started):
            code = process.wait(timeout=240)
            assert code == 0, text(run, number)
    return text(run, 0).split("state ")[-1].strip()


def text(run, number):
    with open(f"{run}.{number}.log") as log:
        return log.read()


def lines(run):
    return len(read_metrics(run / "metrics.jsonl")) if (run / "metrics.jsonl").exists() else 0


def until(started, ready):
    deadline = time.monotonic() + 120
    while not ready():
        assert time.monotonic() < deadline and all(p.poll() is None for p in started)
        time.sleep(0.01)


def losses(run):
    steps = read_metrics(Run.open(run).metrics)
    assert [line["step"] for line in steps] == list(range(1, STEPS + 1))
    return [line["loss"] for line in steps]


def scores(run):
    """The validation losses: of some steps, none of which is there twice."""
    lines = [line for line in read_metrics(Run.open(run).metrics) if "validation_loss" in line]
    assert [line["step"] for line in lines] == [4, 8, STEPS]
    return [(line["validation_loss"], line["validation_loss_ema"]) for line in lines]


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """An uninterrupted run on one device."""
    run = tmp_path_factory.mktemp("uninterrupted") / "run"
    finish(run)
    return run


@pytest.fixture(scope="module")
def uninterrupted(complete):
    """Its losses."""
    return losses(complete)


@pytest.mark.slow
def test_two_processes_are_as_one(complete, uninterrupted, tmp_path):
    run = tmp_path / "run"
    finish(run, "--mesh", "fsdp=2,tensor=2", processes=2, devices=2)
    np.testing.assert_allclose(losses(run), uninterrupted, rtol=1e-5)
    np.testing.assert_allclose(scores(run), scores(complete), rtol=1e-5)
    assert "training" in text(run, 0) and "training" not in text(run, 1)
    assert [p.name for p in (run / "samples").iterdir()] == [f"step_{STEPS:08d}.png"]


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_signal_to_one_stops_all_at_the_same_step(uninterrupted, tmp_path, victim):
    run, mesh = tmp_path / "run", ("--mesh", "fsdp=4")
    with launched(run, *mesh, "--slow", "0.5", processes=2, devices=2) as started:
        until(started, lambda: lines(run) >= 2)
        started[victim].send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert [p.wait(timeout=60) for p in started] == [STOPPED] * 2, text(run, 0)
        print(f"SIGTERM to {victim}: both ended in {time.monotonic() - began:.1f} s")
    assert 2 <= Checkpoints(run / "checkpoints").latest() == lines(run) < STEPS
    finish(run, *mesh, processes=2, devices=2)
    np.testing.assert_allclose(losses(run), uninterrupted, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("moment", ["training", "saving"])
def test_a_dead_process_ends_the_others_and_a_launch_goes_on(
    uninterrupted, tmp_path, victim, moment
):
    run, mesh = tmp_path / "run", ("--mesh", "fsdp=4")

    def saving():
        return any(p for p in (run / "checkpoints").glob("*tmp*")) if lines(run) >= 5 else False

    slow = ("--slow", "0.3", "--heartbeat", "10")
    with launched(run, *mesh, *slow, processes=2, devices=2) as started:
        until(started, saving if moment == "saving" else lambda: lines(run) >= 7)
        started[victim].send_signal(signal.SIGKILL)
        began = time.monotonic()
        code = started[1 - victim].wait(timeout=60)
        seconds = time.monotonic() - began
        print(f"kill -9 of {victim} while {moment}: the other's code {code} in {seconds:.1f} s")
        assert seconds < 30
    log = text(run, 1 - victim)
    assert (code == STOPPED and "another process has died" in log) or (
        code == -signal.SIGABRT and "another task died" in log
    ), log
    finish(run, *mesh, processes=2, devices=2)
    np.testing.assert_allclose(losses(run), uninterrupted, rtol=1e-5)


@pytest.mark.slow
def test_a_process_that_hangs_ends_the_others(tmp_path):
    run = tmp_path / "run"
    options = ("--mesh", "fsdp=4", "--slow", "0.3", "--heartbeat", "10")
    with launched(run, *options, processes=2, devices=2) as started:
        until(started, lambda: lines(run) >= 2)
        started[1].send_signal(signal.SIGSTOP)
        began = time.monotonic()
        assert started[0].wait(timeout=60) == -signal.SIGABRT
        seconds = time.monotonic() - began
        print(f"a process hangs: the other is ended in {seconds:.1f} s")
        assert 5 < seconds < 30
    assert "another task died" in text(run, 0)


@pytest.mark.slow
def test_restores_on_fewer_devices_and_more_processes(uninterrupted, tmp_path):
    first = tmp_path / "eight"
    with launched(first, "--mesh", "fsdp=8", "--slow", "0.3", devices=8) as started:
        until(started, lambda: lines(first) >= 6)
        started[0].send_signal(signal.SIGTERM)
        assert started[0].wait(timeout=60) == STOPPED
    step = Checkpoints(first / "checkpoints").latest()
    states, next_losses = set(), []
    for mesh, processes, devices in (("fsdp=8", 1, 8), ("fsdp=4", 1, 4), ("", 1, 1), ("", 2, 1)):
        run = tmp_path / f"{mesh}{processes}{devices}"
        shutil.copytree(first, run)
        how = {"processes": processes, "devices": devices}
        states.add(finish(run, "--mesh", mesh, "--steps", str(step), **how))
        finish(run, "--mesh", mesh, "--steps", str(step + 1), **how)
        next_losses.append(read_metrics(run / "metrics.jsonl")[-1]["loss"])
        assert lines(run) == step + 1
    assert len(states) == 1  # bit for bit
    np.testing.assert_allclose(next_losses, uninterrupted[step], rtol=1e-6)


@pytest.mark.slow
def test_sigterm_at_twenty_moments(tmp_path):
    """During start-up and during training. At most one logged step is repeated, and the same
    command goes on."""
    rng = random.Random(0)
    run, lost, codes = tmp_path / "run", [], []
    for trial in range(20):
        before = lines(run)
        with launched(run, "--slow", "0.3", "--save-every", "1000", "--steps", "1000") as started:
            if trial % 2:
                until(started, lambda before=before: lines(run) > before)
            time.sleep(rng.uniform(0.0, 1.0 if trial % 2 else 8.0))
            started[0].send_signal(signal.SIGTERM)
            done, began = lines(run), time.monotonic()
            codes.append(started[0].wait(timeout=60))
        saved = Checkpoints(run / "checkpoints").latest() or 0
        lost.append(max(0, done - saved))
        seconds = time.monotonic() - began
        print(f"{trial}: code {codes[-1]} in {seconds:.1f} s, at step {done}, {saved} saved")
    # The signal itself ends what is still loading Python's modules.
    assert set(codes) <= {STOPPED, -signal.SIGTERM}, codes
    assert set(codes[1::2]) == {STOPPED} and max(lost) <= 1, (codes, lost)
    steps = ("--steps", str(lines(run) + 1))
    finish(run, *steps)
    finish(tmp_path / "uninterrupted", *steps)
    broken, uninterrupted = (
        read_metrics(Run.open(tmp_path / n).metrics) for n in ("run", "uninterrupted")
    )
    assert broken == uninterrupted
