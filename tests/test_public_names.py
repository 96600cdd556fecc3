"""The flat public names: complete, unique, documented, and free to import."""

import ast
import importlib
import inspect
import subprocess
import sys

import pytest
from helpers import ROOT

import equildm

PACKAGE = ROOT / "equildm"
ROOMS = sorted(p.parent.name for p in PACKAGE.glob("*/__init__.py"))
PARTLY = {
    "interop": ("load_", "save_", "read_lora", "Scheduler"),
    "study": ("recommend", "Recommendation"),
    "plan": (),
}
"""Rooms of which only names that begin so stand at the top: one opens the others by name."""


def exported(file) -> dict[str, set[str]]:
    """Names that a file imports under their own name, by the module they are from."""
    names: dict[str, set[str]] = {}
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            names.setdefault(node.module or "", set()).update(a.name for a in node.names)
    return names


STUB = exported(PACKAGE / "__init__.pyi")


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_of_a_room_stands_at_the_top(room):
    names = set().union(*exported(PACKAGE / room / "__init__.py").values())
    if room in PARTLY:
        names = {name for name in names if name.startswith(PARTLY[room] or ("\0",))}
    assert STUB.get(room, set()) == names


def test_no_name_means_two_things():
    names = [name for room in STUB.values() for name in room]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("room", sorted(filter(None, STUB)))
def test_every_name_can_be_had_and_is_explained(room):
    module = importlib.import_module(f"equildm.{room}")
    for name in STUB[room]:
        value = getattr(equildm, name)
        assert value is getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), name


def test_the_import_is_free():
    """Nothing heavy is loaded: not even jax."""
    code = "import equildm, sys; print([m for m in ('jax', 'equinox', 'tyro') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result
    assert equildm.__version__
