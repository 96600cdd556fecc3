"""Run folders in tests: what was logged, and one as it was earlier."""

import json
import shutil
from pathlib import Path

from equildm.runtime import read_metrics, Run


def losses(run: Path) -> dict[int, float]:
    """The loss of each step."""
    return {line["step"]: line["loss"] for line in read_metrics(Run.open(run).metrics)}


def forget(run: Path, copy: Path, step: int) -> None:
    """A copy of a run folder as it was when the checkpoint of that step was the newest."""
    shutil.copytree(run, copy)
    for folder in (copy / "checkpoints").iterdir():
        if int(folder.name) > step:
            shutil.rmtree(folder)
    config = json.loads((copy / "config.json").read_text())
    config["config"]["run"] = str(copy)
    (copy / "config.json").write_text(json.dumps(config))
