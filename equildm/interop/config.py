"""The `config.json` beside a model's weights."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..runtime import write_atomic

T = TypeVar("T")
CONFIG = "config.json"
BROKEN = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError),
    RecursionError,  # lists within lists within lists
)
"""What reading JSON of any content may raise."""


def read_config(
    folder: str | os.PathLike[str],
    what: str,
    parse: Callable[[dict[str, Any]], T],
    *,
    file: str = CONFIG,
) -> T:
    """`parse` of a JSON object.

    **Arguments:**

    - `folder`: the model's.
    - `what`: it should describe, for the error.
    - `parse`: takes the object; its `ValueError`, `KeyError` or `TypeError` says what is wrong.
    - `file`: the object's name in the folder.

    **Raises** `ValueError` naming the file and what about it is wrong.
    """
    path = Path(folder) / file
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(written, dict):
            raise ValueError("it holds no object")
        return parse(written)
    except BROKEN as error:
        why = {
            KeyError: f"there is no field {error}",
            FileNotFoundError: "there is no such file",
        }.get(type(error), str(error))
        raise ValueError(f"{path} must describe {what}, and does not: {why}.") from error


def write_config(
    folder: str | os.PathLike[str], config: Mapping[str, Any], *, file: str = CONFIG
) -> None:
    """Writes what `read_config` reads, atomically."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    write_atomic(Path(folder) / file, json.dumps(config, indent=2) + "\n")


def check_fields(written: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
    """Raises `ValueError` where a field is there and not what it must be."""
    for name, value in fixed.items():
        if written.get(name, value) != value:
            raise ValueError(f"{name} is {written[name]!r}, and only {value!r} is supported")
