"""Rooms whose public names are loaded when they are first used, each from its own file.

A room's `__init__.py` says what is public: `from .run import Run as Run`. Run as it stands, it
would load every file of the room for one name, and with them jax. So the command line, which needs
little more than options, would answer `--help` after seconds.
"""

import ast
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from types import ModuleType
from typing import Any


def load_lazily(package: str) -> None:
    """From now on, the packages in `package` whose `__init__.py` only imports are lazy."""
    if not any(isinstance(f, _Finder) and f.package == package for f in sys.meta_path):
        sys.meta_path.insert(0, _Finder(package))


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, package: str):
        self.package = package

    def find_spec(
        self, fullname: str, path: Any, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not fullname.startswith(self.package + "."):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.submodule_search_locations is None:
            return None
        loader = spec.loader
        assert isinstance(loader, importlib.machinery.SourceFileLoader)
        tree = ast.parse(loader.get_data(loader.path))
        if not all(map(_is_lazy, tree.body)):
            return None
        spec.loader = _Loader(fullname, loader.path)
        return spec


def _is_lazy(statement: ast.stmt) -> bool:
    """Whether a statement is the docstring, or imports from the room itself."""
    if isinstance(statement, ast.ImportFrom):
        return statement.level == 1
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


class _Loader(importlib.machinery.SourceFileLoader):
    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _Room(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        tree = ast.parse(self.get_data(self.path))
        places = {
            name.asname or name.name: (
                (f".{statement.module}", name.name) if statement.module else (f".{name.name}", "")
            )
            for statement in tree.body
            if isinstance(statement, ast.ImportFrom)
            for name in statement.names
        }
        module.__doc__ = ast.get_docstring(tree)
        module.__dict__.update(__places__=places, __all__=sorted(places))


class _Room(ModuleType):
    """A package that loads a public name when it is first used."""

    def __getattr__(self, name: str) -> Any:
        place = self.__dict__.get("__places__", {}).get(name)
        if place is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        module = importlib.import_module(place[0], self.__name__)
        value = getattr(module, place[1]) if place[1] else module
        self.__dict__[name] = value
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        # Python sets each file that is loaded as an attribute. A function of the same name wins.
        if not (isinstance(value, ModuleType) and name in self.__dict__.get("__places__", {})):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *self.__dict__.get("__places__", {})})
