"""Fields of a `config.json`, taken with their kind checked: the errors name the field.

`config.read_config` adds the file. A field that is missing and has no default is a `KeyError`.
Sizes have an upper bound, so that the table of names and the shapes of a network can be made of any
that pass; whether the tensors in the file fit them is seen before anything is allocated.
"""

import math
from collections.abc import Collection, Mapping
from typing import Any

WIDEST, DEEPEST = 2**20, 100
"""The largest sizes, and numbers of layers, that are believed."""


def whole(
    written: Mapping[str, Any], name: str, default: int | None = None, *, most: int = WIDEST
) -> int:
    """A whole number above 0."""
    value = written[name] if default is None else written.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise ValueError(f"{name} is {value!r}, not a whole number from 1 to {most}")
    return value


def wholes(
    written: Mapping[str, Any],
    name: str,
    levels: int,
    default: int | None = None,
    *,
    most: int = WIDEST,
) -> tuple[int, ...]:
    """A whole number for each of so many levels, or one for all."""
    value = written[name] if default is None else written.get(name, default)
    values = value if isinstance(value, list) else [value] * levels
    if len(values) != levels:
        raise ValueError(f"{name} is {value!r}, not one entry for each of {levels} levels")
    return tuple(whole({name: one}, name, most=most) for one in values)


def multiples(written: Mapping[str, Any], name: str) -> tuple[int, tuple[int, ...]]:
    """The first of a list of whole numbers, and what multiples of it they are."""
    values = written[name]
    if not isinstance(values, list) or not 1 <= len(values) <= 10:
        raise ValueError(f"{name} is {values!r}, not a list of 1 to 10 levels")
    values = wholes(written, name, len(values))
    if any(value % values[0] for value in values):
        raise ValueError(f"{name} {list(values)} are not multiples of the first")
    return values[0], tuple(value // values[0] for value in values)


def positive(written: Mapping[str, Any], name: str, default: float | None = None) -> float:
    """A number above 0."""
    value = number(written, name, default)
    if value <= 0:
        raise ValueError(f"{name} is {value:g}, not a number above 0")
    return value


def number(written: Mapping[str, Any], name: str, default: float | None = None) -> float:
    """A finite number."""
    value = written[name] if default is None else written.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{name} is {value!r}, not a number")
    return float(value)


def flag(written: Mapping[str, Any], name: str, default: bool = False) -> bool:
    """True or false."""
    value = written.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}, neither true nor false")
    return value


def one_of(written: Mapping[str, Any], name: str, known: Collection[Any], default: Any = None):
    """One of the values that are known."""
    value = written[name] if default is None else written.get(name, default)
    if value not in list(known):
        raise ValueError(f"{name} is {value!r}, and only {sorted(known)} are supported")
    return value


def multiple(written: Mapping[str, Any], name: str, of: str) -> int:
    """A whole number that another field divides."""
    value = whole(written, name)
    if value % whole(written, of):
        raise ValueError(f"{name} is {value}, not a multiple of {of}, which is {written[of]}")
    return value
