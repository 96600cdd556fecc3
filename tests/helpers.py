"""What tests of several rooms share."""

import atexit
import functools
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import pytest
from jaxtyping import PyTree

ROOT = Path(__file__).resolve().parents[1]


def _environment(devices: int, env: Mapping[str, str] | None) -> dict[str, str]:
    """For a process on the CPU with some simulated devices."""
    own = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices), "PYTHONPATH": str(ROOT)}
    return os.environ | own | dict(env or {})


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
        env=_environment(devices, env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, (
        f"exit code {done.returncode}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"
    )
    return done.stdout


CHECK_REFUSALS = """
for make, message in refusals:
    try:
        make()
    except ValueError as error:
        assert message in str(error), error
    else:
        raise AssertionError(message)
"""
"""Code for `run_python`, after `refusals = [(make, message), ...]`: each call is a `ValueError`."""


def others_slow(values: Iterable[Any], *kept: Any) -> list[Any]:
    """Parameters of a test, or tuples of them: those that are kept, and the rest marked slow."""
    values = list(values)
    assert all(value in values for value in kept), f"{kept} should be of {values}"

    def marked(value: Any) -> Any:
        several = value if isinstance(value, tuple) else (value,)
        return value if value in kept else pytest.param(*several, marks=pytest.mark.slow)

    return [marked(value) for value in values]


@eqx.filter_jit
def called(module: Any, *inputs: Any, **options: Any) -> Any:
    """`module(*inputs, **options)` as one compiled program: operation by operation, each new shape
    would compile by itself."""
    return module(*inputs, **options)


@eqx.filter_jit
def together(*calls: Any) -> list[Any]:
    """Each module with its inputs, `(module, *inputs)`, in one program: it compiles sooner than one
    for each."""
    return [module(*inputs) for module, *inputs in calls]


def trees_equal(one: PyTree, other: PyTree) -> bool:
    """Whether two trees are equal, bit for bit: by numpy, which compiles nothing."""
    return bool(eqx.tree_equal(*jax.device_get((one, other))))


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def run_together(
    commands: Sequence[Sequence[str]],
    *,
    devices: int = 1,
    env: Mapping[str, str] | None = None,
    timeout: float = 120,
) -> list[tuple[str, str]]:
    """Runs processes that wait for each other, each with some devices; none outlives the call.

    A command is what follows the interpreter's name. Otherwise as in `run_python`. Returns what
    each printed to stdout and stderr; raises `AssertionError` with all of it if one fails.
    """
    processes = [
        subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=_environment(devices, env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    try:
        outputs = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    codes = [process.returncode for process in processes]
    assert not any(codes), f"exit codes {codes}" + "".join(
        f"\n--- stdout of {i}\n{out}\n--- stderr of {i}\n{err}"
        for i, (out, err) in enumerate(outputs)
    )
    return outputs


def page_code(page: str) -> str:
    """All Python of a page of the documentation, given by its path in the repository."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))


REFUSED = """
import contextlib, io, json, os, runpy, sys, traceback
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what recipes print is no answer
for line in sys.stdin:
    recipe, *commands = json.loads(line)
    sys.path.insert(0, os.path.dirname(recipe))
    messages = []
    for command in commands:
        sys.argv = [recipe, *command]
        with contextlib.redirect_stderr(io.StringIO()) as errors:
            try:
                runpy.run_path(recipe, run_name="__main__")
                messages.append("accepted")
            except (ValueError, SystemExit) as error:
                messages.append(f"{errors.getvalue()}{error}")
            except Exception:
                messages.append(traceback.format_exc())
    sys.path.pop(0)
    print(json.dumps(messages), file=answers, flush=True)
"""


@functools.cache
def _refusing() -> subprocess.Popen[str]:
    """The process that `refusals` asks: it loads jax and the library once, for all recipes."""
    process = subprocess.Popen(
        [sys.executable, "-c", REFUSED],
        cwd=ROOT,
        env=_environment(1, None),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    atexit.register(process.kill)
    return process


def refusals(recipe: Path, *commands: Sequence[str]) -> list[str]:
    """What a recipe says to options that it refuses: to each command, in one process."""
    process = _refusing()
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps([str(recipe), *map(list, commands)]) + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def assert_refused(recipe: Path, cases: Sequence[tuple[Sequence[str], str]], *common: str) -> None:
    """Each case's options, after the common ones, are refused with the words beside them.

    The box and the line breaks that a message may come in do not count.
    """
    messages = refusals(recipe, *([*common, *options] for options, _ in cases))
    for (options, expected), message in zip(cases, messages, strict=True):
        words = " ".join(message.replace("│", " ").split())
        assert expected in words, f"{options} should say {expected!r}, and say:\n{message}"
