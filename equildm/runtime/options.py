"""Options of a command line that are composed of dataclasses."""

import dataclasses
from pathlib import Path, PurePath
from typing import Annotated, TypeAlias, TypeVar

import tyro

from .remote import local_path

T = TypeVar("T")

Flat = Annotated[T, tyro.conf.arg(name="")]
"""A dataclass inside of another whose options get no prefix: `data: Flat[DataConfig]`."""

Hidden = tyro.conf.Suppress[tyro.conf.Fixed[T]]
"""A field that is set in code and has no option: `scale: Hidden[float]`."""

Location: TypeAlias = Annotated[str | Path, tyro.conf.arg(metavar="PATH|ADDRESS")]
"""A folder of this machine, or an address such as `gs://bucket/run`, which a `Path` cannot hold."""


def is_default(options: object) -> bool:
    """Whether every field of a dataclass has its default."""
    assert dataclasses.is_dataclass(options)
    return all(
        getattr(options, field.name) == field.default
        for field in dataclasses.fields(options)
        if field.default is not dataclasses.MISSING
    )


def check_paths(options: object) -> None:
    """**Raises** `ValueError` for an address in an option that takes a path of this machine."""
    if dataclasses.is_dataclass(options):
        for field in dataclasses.fields(options):
            value = getattr(options, field.name)
            for part in value if isinstance(value, tuple | list) else (value,):
                if isinstance(part, PurePath):
                    local_path(part, f"The path of --{field.name.replace('_', '-')}")
                check_paths(part)
