"""Numpy arrays from a pickle, without running any code that the pickle names.

Some packages publish weights as a pickled dictionary of arrays. A pickle is a program: loading one
runs the functions that it names. A pickled array needs three names. Here each of them stands for a
plain record; every other name and every other instruction is an error. The arrays are then made
from the records.
"""

import io
import os
import pickle
import pickletools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


class _Dtype:
    """Stands for `numpy.dtype`: remembers its code, `"f4"`."""

    def __init__(self, code: str, align: bool | int = False, copy: bool | int = False):
        del align, copy
        self.code = code
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]


class _Array:
    """Stands for `numpy.ndarray`: remembers shape, type and bytes."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.dtype, self.fortran, self.raw = state


def _reconstruct(*_: Any) -> _Array:
    """Stands for `numpy.core.multiarray._reconstruct`."""
    return _Array()


_INSTRUCTIONS = (
    "PROTO FRAME STOP GLOBAL STACK_GLOBAL REDUCE BUILD MARK MEMOIZE BINPUT LONG_BINPUT BINGET "
    "LONG_BINGET NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 "
    "TUPLE3 EMPTY_DICT SETITEM SETITEMS EMPTY_LIST APPEND APPENDS SHORT_BINUNICODE "
    "BINUNICODE SHORT_BINBYTES BINBYTES BINBYTES8"
)
"""The instructions for dictionaries and lists of arrays, by their names in `pickletools`."""

_STAND_INS = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
}


class _SafeUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise ValueError(f"it asks for {module}.{name}, which no array needs")
        return _STAND_INS[module, name]


def read_pickled_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads nested dictionaries and lists of float arrays, as parameters were once saved.

    Pickle protocols 3 and 4; others store arrays by way of further functions.

    **Arguments:**

    - `path`: the file.

    **Returns:**

    Each array by its path, `"VGG16_0/Conv_0/kernel"`, `"conv1/0"`.

    **Raises:**

    `ValueError` naming the file, if it is no pickle, is cut off or holds anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"There is no weights file at {path}. Give another path.")
    try:
        content = path.read_bytes()
        allowed = set(_INSTRUCTIONS.split())
        for opcode, argument, _ in pickletools.genops(content):
            # An index into the memo makes the unpickler reserve that much memory.
            absurd = opcode.name == "LONG_BINPUT" and not 0 <= (argument or 0) < len(content)
            if opcode.name not in allowed or absurd:
                raise ValueError(f"it uses {opcode.name}, which no array needs")
        return dict(_arrays("", _SafeUnpickler(io.BytesIO(content)).load(), set()))
    except Exception as error:  # A bad pickle can raise nearly anything.
        raise ValueError(f"{path} is not a plain pickle of float arrays: {error}.") from error


def _arrays(name: str, node: Any, seen: set[int]) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(node, dict | list):
        # Containers within containers, each twice, are exponentially many from a few bytes.
        if id(node) in seen:
            raise ValueError(f"'{name}' is in it twice")
        seen.add(id(node))
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _arrays(f"{name}/{key}" if name else str(key), value, seen)
        return
    if not isinstance(node, _Array):
        raise ValueError(f"'{name}' is a {type(node).__name__}")
    if (node.dtype.order, node.dtype.code) not in {("<", "f2"), ("<", "f4"), ("<", "f8")}:
        raise ValueError(f"'{name}' has type {node.dtype.order}{node.dtype.code}")
    flat = np.frombuffer(node.raw, node.dtype.order + node.dtype.code)
    yield name, flat.reshape(node.shape, order="F" if node.fortran else "C")
