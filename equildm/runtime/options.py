"""Options of a command line that are composed of dataclasses."""

from typing import Annotated, TypeVar

import tyro

T = TypeVar("T")

Flat = Annotated[T, tyro.conf.arg(name="")]
"""A dataclass inside of another whose options get no prefix: `data: Flat[DataConfig]`."""

Hidden = tyro.conf.Suppress[tyro.conf.Fixed[T]]
"""A field that is set in code and has no option: `scale: Hidden[float]`."""
