"""The recipe on eight devices, in every way to split it, learns what it learns on one.

With `mini`: the sharding rule splits most of what it weighs (tests/training/test_sharded_state.py).
"""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest
from helpers import ROOT, run_python
from PIL import Image

from equildm.runtime import read_metrics, Run

RECIPE = ROOT / "recipes" / "pretrain.py"


def losses(run):
    return [line["loss"] for line in read_metrics(Run.open(run).metrics)]


@pytest.mark.slow  # compiles the step for eight devices, four times
@pytest.mark.parametrize("mesh", ["data=8", "fsdp=8", "data=2,fsdp=4", "fsdp=4,tensor=2"])
def test_twenty_steps_agree_with_one_device(options, mesh, one_device, tmp_path):
    run = tmp_path / "run"
    run_python(
        RECIPE,
        *(*options, "--run", str(run), "--steps", "20", "--batch-size", "8"),
        *("--preset", "mini", "--mesh", mesh),
        timeout=3000,
    )
    np.testing.assert_allclose(losses(run), one_device, rtol=1e-5)


@pytest.fixture(scope="module")
def one_device(pictures, vae, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one_device")
    run_python(
        RECIPE,
        *("--data", str(pictures), "--vae", str(vae), "--cache", str(folder / "cache")),
        *("--size", "32", "--batch-size", "8", "--warmup", "4", "--held-out", "0"),
        *("--log-every", "1", "--prompts", "--run", str(folder / "run")),
        *("--steps", "20", "--preset", "mini"),
        devices=1,
        timeout=3000,
    )
    return losses(folder / "run")


@pytest.mark.slow
def test_two_processes_build_the_cache_and_make_the_previews_of_one(options, tmp_path):
    """The recipe, unchanged; both begin with no cache and no run folder."""
    options = [*options, "a red square", "--steps", "3", "--warmup", "1", "--preset", "16"]
    alone, both = tmp_path / "alone", tmp_path / "both"
    cache = ("--cache", str(tmp_path / "cache of one"))
    run_python(RECIPE, *options, *cache, "--run", str(alone), devices=1, timeout=3000)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(RECIPE), *options, "--run", str(both), "--mesh", "fsdp=2"]
    command += ["--coordinator", f"127.0.0.1:{port}", "--processes", "2", "--process-id"]
    processes = [
        subprocess.Popen(
            [*command, str(number)],
            cwd=ROOT,
            env=os.environ | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(2)
    ]
    try:
        printed = [process.communicate(timeout=3000)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], printed
    np.testing.assert_allclose(losses(both), losses(alone), rtol=1e-5)
    assert "Images are in" in printed[0] and "Images are in" not in printed[1]
    assert len(list((tmp_path / "cache").glob("[!.]*"))) == 1
    previews = []
    for run in (alone, both):
        with Image.open(run / "samples" / "step_00000003.png") as image:
            previews.append(np.asarray(image, np.int16))
    assert np.abs(previews[0] - previews[1]).max() <= 2
