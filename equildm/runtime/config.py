"""Frozen dataclasses to JSON and back, guided by their annotations.

Values are numbers, text, booleans, `None`, `Path`, enums, tuples, lists, dicts by text, and
dataclasses of these, which carry their class name under `"class"` so that a field may be one of
several (`data: Emoji | Folder`), or of an abstract class. A user's own subclass of an abstract
class is named with its module, `my_module:MyClass`, which is imported to read it.
"""

import dataclasses
import enum
import importlib
import inspect
import types
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, get_args, get_origin, get_type_hints, Literal, Union

from .python_path import class_text, load_class

_CLASS = "class"


def to_json(value: object, where: str = "config") -> Any:
    """`value` in the types that `json.dumps` accepts.

    **Raises** `ValueError` naming the field that holds something else, such as a function.
    """
    if isinstance(value, enum.Enum):
        return value.name
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, tuple | list):
        return [to_json(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: to_json(item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: to_json(getattr(value, field.name), f"{where}.{field.name}")
            for field in dataclasses.fields(value)
        }
        return {_CLASS: class_text(type(value)), **fields}
    raise ValueError(
        "A config holds numbers, text, booleans, None, paths, enums, tuples, lists, dicts by text "
        f"and dataclasses of these; received {type(value).__name__} at {where}. "
        "Put its name or its sizes there instead."
    )


def from_json(kind: Any, value: Any, where: str = "config") -> Any:
    """The value of the annotated type `kind` from its JSON: the inverse of `to_json`.

    **Raises** `ValueError` naming a field that is missing, unknown or of another type.
    """
    origin, args = get_origin(kind) or kind, get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return _one_of(kind, value, where)
    if origin is Literal:
        _expect(value in args, kind, value, where)
        return value
    if origin is tuple:
        _expect(isinstance(value, list), kind, value, where)
        if not args or args[-1] is Ellipsis:
            args = (args[0] if args else Any,) * len(value)
        _expect(len(args) == len(value), kind, value, where)
        items = enumerate(zip(args, value, strict=True))
        return tuple(from_json(item, v, f"{where}[{i}]") for i, (item, v) in items)
    if origin is list:
        _expect(isinstance(value, list), kind, value, where)
        item = args[0] if args else Any
        return [from_json(item, v, f"{where}[{i}]") for i, v in enumerate(value)]
    if issubclass(origin, Mapping):
        _expect(isinstance(value, dict), kind, value, where)
        item = args[1] if args else Any
        return {k: from_json(item, v, f"{where}.{k}") for k, v in value.items()}
    if dataclasses.is_dataclass(origin):
        _expect(isinstance(value, dict), kind, value, where)
        return _dataclass(_subclass(origin, value.get(_CLASS)), value, where)
    if issubclass(origin, enum.Enum):
        _expect(isinstance(value, str) and value in origin.__members__, kind, value, where)
        return origin[value]
    if issubclass(origin, PurePath):
        _expect(isinstance(value, str), kind, value, where)
        return origin(value)
    # Exactly, for True is an int to isinstance. A float that was written without a point is one.
    _expect(type(value) is origin or (origin is float and type(value) is int), kind, value, where)
    return origin(value) if origin is float else value


def _dataclass(kind: Any, value: dict[str, Any], where: str) -> Any:
    hints = get_type_hints(kind)
    fields = dataclasses.fields(kind)
    names = [field.name for field in fields]
    unknown = [name for name in value if name not in (*names, _CLASS)]
    # A field that was added later takes what older versions did: its default, or else the value
    # that its metadata has as "before".
    needed = [f.name for f in fields if f.default is f.default_factory is dataclasses.MISSING]
    missing = [name for name in needed if name not in value]
    for problem, affected in (("unknown", unknown), ("missing", missing)):
        if affected:
            raise ValueError(
                f"{kind.__name__} has the fields {names}; received {problem} {affected[0]!r} at "
                f"{where}. The config was written by another version of the recipe: use that "
                "one, or edit the file."
            )
    present = [name for name in names if name in value]
    values = {f.name: f.metadata["before"] for f in fields if "before" in f.metadata}
    values |= {name: from_json(hints[name], value[name], f"{where}.{name}") for name in present}
    return kind(**values)


def _subclass(kind: Any, name: Any) -> Any:
    """`kind`, or for an abstract one the subclass of that name."""
    if name == kind.__name__ or not inspect.isabstract(kind):
        return kind
    # A public class of the same package, whose file may not be loaded yet.
    public = getattr(importlib.import_module(kind.__module__.partition(".")[0]), str(name), None)
    if isinstance(public, type) and issubclass(public, kind):
        return public
    below = list(kind.__subclasses__())
    while below:
        candidate = below.pop()
        if name in (candidate.__name__, class_text(candidate)):
            return candidate
        below += candidate.__subclasses__()
    if ":" in str(name):
        return load_class(name, kind)
    raise ValueError(
        f"A {kind.__name__} is one of the classes that are imported, received {name!r}. Import the "
        "module that defines it first."
    )


def _one_of(union: Any, value: Any, where: str) -> Any:
    """`value` as the first member of a union that accepts it; a dataclass by its name."""
    kinds = get_args(union)
    if isinstance(value, dict) and _CLASS in value:
        # Choose the class first, so that an error names the field inside it.
        kinds = tuple(k for k in kinds if getattr(k, "__name__", None) == value[_CLASS])
        _expect(bool(kinds), union, value, where)
        return from_json(kinds[0], value, where)
    for kind in kinds:
        try:
            return from_json(kind, value, where)
        except ValueError:
            continue
    _expect(False, union, value, where)


def _expect(valid: bool, kind: object, value: object, where: str) -> None:
    if not valid:
        name = kind.__name__ if isinstance(kind, type) else kind
        raise ValueError(f"{where} is of type {name}, received {value!r}. Correct the file.")
