"""The `config.json` beside a model's weights."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..runtime import write_json
from .config_fields import Fields

T = TypeVar("T")
CONFIG = "config.json"
BROKEN = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError),
    RecursionError,  # lists within lists within lists
)
"""What reading JSON of any content may raise."""


def read_config(
    folder: str | os.PathLike[str],
    description: str,
    parse: Callable[[dict[str, Any]], T],
    *,
    file: str = CONFIG,
) -> T:
    """Reads a JSON object and parses it.

    **Arguments:**

    - `folder`: the model's folder.
    - `description`: what the object should describe, for the error.
    - `parse`: takes the object; its `ValueError`, `KeyError` or `TypeError` says what is wrong.
    - `file`: the object's name in the folder.

    **Raises** `ValueError` naming the file and what about it is wrong.
    """
    path = Path(folder) / file
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(fields, dict):
            raise ValueError("it holds no object")
        return parse(fields)
    except BROKEN as error:
        reason = {
            KeyError: f"there is no field {error}",
            FileNotFoundError: "there is no such file",
        }.get(type(error), str(error))
        raise ValueError(f"{path} must describe {description}, and does not: {reason}.") from error


def write_config(folder: str | os.PathLike[str], fields: Fields, *, file: str = CONFIG) -> None:
    """Writes what `read_config` reads, atomically."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    write_json(Path(folder) / file, fields)


def check_fields(fields: Fields, required: Mapping[str, Any]) -> None:
    """Raises `ValueError` where a field is present and has another value than `required`."""
    for name, value in required.items():
        if fields.get(name, value) != value:
            raise ValueError(f"{name} is {fields[name]!r}, and only {value!r} is supported")
