"""What goes wrong in a first hour at the command line, and what is said to it."""

import os
import signal
import subprocess
import sys
import time

import pytest
from helpers import refusals, ROOT, run_python

from equildm.runtime import STOPPED

RECIPES = ROOT / "recipes"
TAKES_A_MODEL = {
    "compare_samplers": [],
    "convert": ["/tmp/no-such-folder/out"],
    "distill": [],
    "evaluate": [],
    "evaluate_upscaler": [],
    "sample": ["--prompt", "a"],
    "upscale": ["image.png"],
}


HEEDS_CTRL_C = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from equildm.commands import main
main()
"""
"""The console command. A shell's background job, as these tests may be, would ignore ctrl-C."""


def said_to(recipe, *commands):
    """The one line that a recipe says to each command."""
    texts = refusals(RECIPES / f"{recipe}.py", *commands)
    for text in texts:
        line, code = text.splitlines()
        assert line.startswith(f"{recipe}.py: ") and code == "1", text
    return [text.splitlines()[0] for text in texts]


@pytest.fixture
def runs(tmp_path):
    """A folder of runs, with one whose config.json is damaged."""
    (tmp_path / "runs" / "hearts").mkdir(parents=True)
    (tmp_path / "runs" / "hearts" / "config.json").write_text('{"format": 2,')
    return tmp_path / "runs"


def test_a_run_that_cannot_begin_or_go_on(runs):
    new = ["--data", "shapes", "--run"]
    nowhere, mistyped, damaged, size, mesh = said_to(
        "pretrain",
        [*new, "/proc/nothing"],
        ["--run", f"{runs}/haerts", "--resume"],
        ["--run", f"{runs}/hearts", "--resume"],
        [*new, f"{runs}/new", "--size", "33"],
        [*new, f"{runs}/new", "--mesh", "data=3"],
    )
    assert "/proc takes no files" in nowhere and "Choose another folder." in nowhere
    assert f"add --new to begin one there. Did you mean {runs}/hearts?" in mistyped
    assert "runs/hearts/config.json" in damaged and "Restore the file." in damaged
    assert "multiples of 16" in size and "data=3" in mesh
    assert not (runs / "new").exists()


@pytest.mark.parametrize(
    "recipe",
    ["sample", *(pytest.param(r, marks=pytest.mark.slow) for r in TAKES_A_MODEL if r != "sample")],
)
def test_a_model_that_is_none(recipe, runs):
    options = TAKES_A_MODEL[recipe]
    mistyped, damaged = said_to(recipe, [f"{runs}/haerts", *options], [f"{runs}/hearts", *options])
    assert "haerts" in mistyped and f"Did you mean {runs}/hearts?" in mistyped
    assert "hearts" in damaged


def launched(options, folder):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        [sys.executable, "-c", HEEDS_CTRL_C, "pretrain", *options],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["start", "encoding", "training"])
def test_ctrl_c_is_one_line_and_the_name_is_free(options, tmp_path, moment):
    """During the import, in the encoding and while the first step compiles."""
    options = [*options, "--run", str(tmp_path / "mine"), "--steps", "4"]
    process = launched(options, tmp_path)
    lines = []
    if moment == "start":
        time.sleep(1.5)
    else:
        while moment not in (lines[-1] if lines else ""):
            lines.append(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=300)
    assert "Traceback" not in rest
    if moment == "training":
        assert process.returncode == STOPPED and "saved. Go on with --resume." in rest
    else:
        assert process.returncode == 130 and "equildm pretrain: Stopped by ctrl-C." in rest
        assert "To sample:" in run_python(RECIPES / "pretrain.py", *options, devices=1)


@pytest.mark.slow
def test_a_folder_is_taken_again_and_goes_on_by_its_own_options(options, tmp_path):
    options = [*options, "--run", str(tmp_path / "mine"), "--steps", "4"]
    (failed,) = said_to("pretrain", [*options, "--clip", "0"])
    assert "received 0" in failed
    run_python(RECIPES / "pretrain.py", *options, devices=1)
    printed = run_python(
        RECIPES / "pretrain.py", "--run", str(tmp_path / "mine"), "--resume", "--steps", "6",
        devices=1,
    )  # fmt: skip
    assert "Resumed at step 4." in printed
