"""What tests of several rooms share."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run_python(
    code: str | Path,
    *args: str,
    devices: int = 8,
    env: Mapping[str, str] | None = None,
    timeout: float = 900,
) -> str:
    """Runs code (a string) or a script (a path) in a fresh process with simulated CPU devices.

    The process starts in the repository's root, on the CPU, with the tests' compile cache. Returns
    what it printed; raises `AssertionError` with both its outputs if it fails. No annotation is
    checked there, unlike in the tests.
    """
    command = [str(code)] if isinstance(code, Path) else ["-c", code]
    done = subprocess.run(
        [sys.executable, *command, *args],
        cwd=ROOT,
        env=os.environ
        | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices), "PYTHONPATH": str(ROOT)}
        | dict(env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, (
        f"exit code {done.returncode}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"
    )
    return done.stdout


REFUSED = """
import contextlib, io, json, os, runpy, sys
recipe, *commands = json.loads(sys.argv[1])
sys.path.insert(0, os.path.dirname(recipe))
said = []
for command in commands:
    sys.argv = [recipe, *command]
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            runpy.run_path(recipe, run_name="__main__")
        except (ValueError, SystemExit) as error:
            said.append(f"{errors.getvalue()}{error}")
        else:
            said.append("accepted")
print(json.dumps(said))
"""


def refusals(recipe: Path, *commands: Sequence[str]) -> list[str]:
    """What a recipe says to options that it refuses: to each command, in one fresh process."""
    printed = run_python(REFUSED, json.dumps([str(recipe), *map(list, commands)]), devices=1)
    return json.loads(printed.splitlines()[-1])
