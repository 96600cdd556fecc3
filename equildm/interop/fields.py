"""Fields of a `config.json`, taken with their kind checked: the errors name the field.

`config.read_config` adds the file. A field that is missing and has no default is a `KeyError`.
"""

from collections.abc import Collection, Mapping
from typing import Any


def whole(written: Mapping[str, Any], name: str, default: int | None = None) -> int:
    """A whole number above 0."""
    value = written[name] if default is None else written.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} is {value!r}, not a whole number above 0")
    return value


def positive(written: Mapping[str, Any], name: str) -> float:
    """A number above 0."""
    value = written[name]
    if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
        raise ValueError(f"{name} is {value!r}, not a number above 0")
    return float(value)


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
