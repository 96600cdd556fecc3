"""Recipes and the shell: errors in one line, exit codes, and the options of a run that goes on."""

import dataclasses
import errno
import sys
from pathlib import Path

import pytest

from equildm.runtime import Run, run_command
from equildm.runtime.options import Flat
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
    train: Flat[Train] = Train()
    rate: float = 0.5
    fault: str = ""
    resume: bool = False


FAULTS = {
    "disk": OSError(errno.ENOSPC, "No space left on device"),
    "save": RuntimeError(
        'RESOURCE_EXHAUSTED: Error writing local file "runs/a/checkpoints/4.orbax-checkpoint-tmp/'
        'ema/_sharding": Failed writing: "runs/a/x": No space left on device'
    ),
    "file": FileNotFoundError("There is no file cats.tar. Check the path."),
    "memory": RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes.\nMore."),
    "loss": Diverged("Step 3: loss nan. Use a lower --learning-rate."),
    "ctrl-c": KeyboardInterrupt(),
    "bug": KeyError("network"),
}


def recipe(config):
    may_change = ("resume", "rate", "fault")
    run = Run.create(config.run, config, "script", resume=config.resume, may_change=may_change)
    (run.checkpoints / "1").mkdir(exist_ok=True)
    if config.fault:
        raise FAULTS[config.fault]
    print(config.train.steps, config.rate)


@pytest.fixture
def launch(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def launch(*options):
        """The exit code, what was printed, and the error."""
        monkeypatch.setattr(sys, "argv", ["script.py", *options])
        code = 0
        try:
            run_command(recipe, Config, "A recipe.")
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return launch


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (["--steps", "0"], 1, "script.py: --steps is at least 1, received 0. Choose 1 or more."),
        (["--fault", "file"], 1, "script.py: There is no file cats.tar. Check the path."),
        (["--fault", "disk"], 1, "script.py: The disk is full: "),
        (
            ["--fault", "save"],
            1,
            "script.py: The disk is full: cannot write runs/a/checkpoints/4.",
        ),
        (["--fault", "memory"], 1, "script.py: The device has too little memory: RESOURCE_EX"),
        (["--fault", "loss"], 1, "script.py: Step 3: loss nan. Use a lower --learning-rate."),
        (["--fault", "ctrl-c"], 130, "script.py: Stopped by ctrl-C."),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_what_a_user_can_mend_is_one_line(launch, options, code, text):
    result, _, error = launch(*options)
    (line,) = error.strip().splitlines()
    assert result == code and line.startswith(text)


def test_tracebacks_are_of_faults_and_on_demand(launch):
    with pytest.raises(KeyError, match="network"):
        launch("--fault", "bug")
    code, _, error = launch("--steps", "0", "--debug")
    assert code == 1 and "Traceback" in error and error.strip().endswith("Choose 1 or more.")


def test_resume_alone_goes_on_with_the_options_of_the_run(launch):
    assert launch("--run", "mine", "--steps", "7")[1] == "7 0.5\n"
    assert launch("--run", "mine", "--resume")[1] == "7 0.5\n"
    assert launch("--run=mine", "--resume", "--rate", "0.1")[1] == "7 0.1\n"
    assert launch("--steps", "3")[1] == "3 0.5\n"
    assert launch("--resume")[1] == "3 0.5\n"  # of the usual folder
    _, _, refusal = launch("--run", "mine", "--resume", "--steps", "8")
    assert "train.steps is 7 in mine/config.json, received 8" in refusal
