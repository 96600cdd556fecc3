"""Recipes and the shell: errors in one line, exit codes, and the options of a run that goes on."""

import subprocess
import sys

import pytest

SCRIPT = """
import dataclasses, errno, os
from pathlib import Path
import equildm as eqd
from equildm.training import Diverged

@dataclasses.dataclass(frozen=True)
class Train:
    steps: int = 5

    def __post_init__(self):
        if self.steps < 1:
            raise ValueError(f"--steps is at least 1, received {self.steps}. Choose 1 or more.")

@dataclasses.dataclass(frozen=True)
class Config:
    run: Path = Path("runs/usual")
    train: eqd.Flat[Train] = Train()
    rate: float = 0.5
    fault: str = ""
    resume: bool = False

def main(config):
    run = eqd.Run.prepare(
        config.run, config, "script", resume=config.resume, may_change=("resume", "rate", "fault")
    )
    run.make()
    (run.checkpoints / "1").mkdir(exist_ok=True)
    faults = {
        "disk": OSError(errno.ENOSPC, "No space left on device"),
        "file": FileNotFoundError("There is no file cats.tar. Check the path."),
        "memory": RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes.\\nMore."),
        "loss": Diverged("Step 3: loss nan. Use a lower --learning-rate."),
        "ctrl-c": KeyboardInterrupt(),
        "bug": KeyError("network"),
    }
    if config.fault:
        raise faults[config.fault]
    print(config.train.steps, config.rate)

if __name__ == "__main__":
    eqd.run_command(main, Config, __doc__)
"""


@pytest.fixture
def launch(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)

    def launch(*options):
        command = [sys.executable, str(script), *options]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    return launch


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (["--steps", "0"], 1, "script.py: --steps is at least 1, received 0. Choose 1 or more."),
        (["--fault", "file"], 1, "script.py: There is no file cats.tar. Check the path."),
        (["--fault", "disk"], 1, "script.py: The disk is full: "),
        (["--fault", "memory"], 1, "script.py: The device has too little memory: RESOURCE_EX"),
        (["--fault", "loss"], 1, "script.py: Step 3: loss nan. Use a lower --learning-rate."),
        (["--fault", "ctrl-c"], 130, "script.py: Stopped by ctrl-C."),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_what_a_user_can_mend_is_one_line(launch, options, code, text):
    result = launch(*options)
    assert result.returncode == code
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith(text) and "Traceback" not in result.stderr


def test_tracebacks_are_of_faults_and_on_demand(launch):
    assert "KeyError: 'network'" in launch("--fault", "bug").stderr
    result = launch("--steps", "0", "--debug")
    assert "Traceback" in result.stderr and result.stderr.strip().endswith("Choose 1 or more.")


def test_resume_alone_goes_on_with_the_options_of_the_run(launch):
    assert launch("--run", "mine", "--steps", "7").stdout == "7 0.5\n"
    assert launch("--run", "mine", "--resume").stdout == "7 0.5\n"
    assert launch("--run=mine", "--resume", "--rate", "0.1").stdout == "7 0.1\n"
    assert launch("--steps", "3").stdout == "3 0.5\n"
    assert launch("--resume").stdout == "3 0.5\n"  # of the usual folder
    refusal = launch("--run", "mine", "--resume", "--steps", "8").stderr
    assert "train.steps is 7 in mine/config.json, received 8" in refusal
