"""Typed access to the fields of a `config.json`.

Errors name the field; `read_config` adds the file. A field that is missing and has no default is a
`KeyError`. Sizes have an upper bound: no field can make the table of names, or the traced shapes of
a network, absurdly large. That the tensors in the file fit the sizes is checked before anything is
allocated.
"""

import math
from collections.abc import Collection, Mapping
from typing import Any

Fields = Mapping[str, Any]
"""A JSON object."""

MAX_SIZE, MAX_LAYERS = 2**20, 100
"""The largest size and the largest number of layers that are accepted."""


def positive_int(
    fields: Fields, name: str, default: int | None = None, *, most: int = MAX_SIZE
) -> int:
    """An integer from 1 to `most`."""
    value = fields[name] if default is None else fields.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise ValueError(f"{name} is {value!r}, not a whole number from 1 to {most}")
    return value


def positive_ints(
    fields: Fields, name: str, levels: int, default: int | None = None, *, most: int = MAX_SIZE
) -> tuple[int, ...]:
    """An integer from 1 to `most` for each of `levels` levels, or one for all of them."""
    value = fields[name] if default is None else fields.get(name, default)
    values = value if isinstance(value, list) else [value] * levels
    if len(values) != levels:
        raise ValueError(f"{name} is {value!r}, not one entry for each of {levels} levels")
    return tuple(positive_int({name: entry}, name, most=most) for entry in values)


def multiples(fields: Fields, name: str) -> tuple[int, tuple[int, ...]]:
    """A list of positive integers as its first entry and the factors of that entry."""
    entries = fields[name]
    if not isinstance(entries, list) or not 1 <= len(entries) <= 10:
        raise ValueError(f"{name} is {entries!r}, not a list of 1 to 10 levels")
    values = positive_ints(fields, name, len(entries))
    if any(value % values[0] for value in values):
        raise ValueError(f"{name} {list(values)} are not multiples of the first")
    return values[0], tuple(value // values[0] for value in values)


def multiple(fields: Fields, name: str, of: str) -> int:
    """A positive integer that the field `of` divides."""
    value = positive_int(fields, name)
    if value % positive_int(fields, of):
        raise ValueError(f"{name} is {value}, not a multiple of {of}, which is {fields[of]}")
    return value


def positive_float(fields: Fields, name: str, default: float | None = None) -> float:
    """A finite number above 0."""
    value = finite_float(fields, name, default)
    if value <= 0:
        raise ValueError(f"{name} is {value:g}, not a number above 0")
    return value


def finite_float(fields: Fields, name: str, default: float | None = None) -> float:
    """A finite number."""
    value = fields[name] if default is None else fields.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{name} is {value!r}, not a number")
    return float(value)


def flag(fields: Fields, name: str, default: bool = False) -> bool:
    """True or false."""
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}, neither true nor false")
    return value


def one_of(fields: Fields, name: str, supported: Collection[str], default: str = "") -> Any:
    """One of the supported values."""
    value = fields.get(name, default) if default else fields[name]
    if value not in list(supported):
        raise ValueError(f"{name} is {value!r}, and only {sorted(supported)} are supported")
    return value
