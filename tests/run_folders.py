"""Run folders in tests: what was logged, one as it was earlier, and how that goes on."""

import json
import shutil
from pathlib import Path

from helpers import run_python

from equildm.runtime import read_metrics, Run


def losses(run: Path) -> dict[int, float]:
    """The loss of each step, none of which may be there twice."""
    lines = read_metrics(Run.open(run).metrics)
    steps = [line["step"] for line in lines]
    assert len(set(steps)) == len(steps), f"a step is logged twice: {steps}"
    return {line["step"]: line["loss"] for line in lines}


def forget(run: Path, copy: Path, step: int) -> None:
    """A copy of a run folder as it was when the checkpoint of that step was the newest."""
    shutil.copytree(run, copy)
    for folder in (copy / "checkpoints").iterdir():
        if int(folder.name) > step:
            shutil.rmtree(folder)
    config = json.loads((copy / "config.json").read_text())
    config["config"]["run"] = str(copy)
    (copy / "config.json").write_text(json.dumps(config))


def go_on(recipe: Path, run: Path, copy: Path, step: int, *options: str) -> None:
    """Makes a copy of a run folder as it was at that step, and resumes it on one device."""
    forget(run, copy, step)
    run_python(recipe, "--run", str(copy), *options, "--resume", devices=1)
