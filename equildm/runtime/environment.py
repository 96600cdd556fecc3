"""The environment of a run: versions, devices, command, folder, commit of each launch."""

import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from ._files import write_json

PACKAGES = (
    "equildm",
    "jax",
    "jaxlib",
    "equinox",
    "diffrax",
    "optax",
    "grain",
    "orbax-checkpoint",
    "jaxtyping",
    "numpy",
)


def environment() -> dict[str, Any]:
    """The current process as plain JSON: time, command, folder, versions, devices, commit."""
    devices = jax.devices()
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(sys.orig_argv),
        "folder": os.getcwd(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "devices": {
            "kind": devices[0].device_kind,
            "count": len(devices),
            "processes": jax.process_count(),
        },
        "commit": _commit(),
    }


def launches(file: Path) -> list[dict[str, Any]]:
    """What `record_launch` wrote to a file, in order; nothing where there is none.

    **Raises** `ValueError` naming a file that cannot be read.
    """
    if not file.exists():
        return []
    try:
        recorded: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["launches"]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"environment.json of a run is JSON with its launches, received {file} which is not "
            f"({error!r}). Restore the file, or move it away: it is a record only."
        ) from error
    return recorded


def record_launch(file: Path, version: int, changes: Mapping[str, tuple[Any, Any]]) -> None:
    """Adds this process to the launches of a run of that format, with the options it changed."""
    launch = environment() | ({"changes": changes} if changes else {})
    write_json(file, {"format": version, "launches": [*launches(file), launch]})


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the running source, with `+` if files differ from it; `None` without git."""
    here = Path(__file__).parent

    def git(*args: str) -> str:
        command = ["git", "-C", str(here), *args]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        # An installed package may lie inside an unrelated repository (a virtual environment).
        git("ls-files", "--error-unmatch", str(Path(__file__)))
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return None
