"""Objects of a user's own code, named by text: `package.module:Name` or `folder/file.py:Name`."""

import importlib
import importlib.util
import inspect
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def load_object(text: str, base: type) -> Any:
    """The object of that name, or of a class one without arguments.

        load_object("my_noise.py:MySchedule", AbstractSchedule)

    A module is looked for as Python does, and then in the current folder.

    **Raises** `ValueError` for a module or a name that is not there, a module that cannot be
    imported, and an object that is no `base`.
    """
    value = _named(text)
    if inspect.isclass(value) and issubclass(value, base):
        try:
            return value()
        except TypeError as error:
            raise ValueError(
                f"{text} is a class that is built without arguments: {error}. Give its fields "
                "defaults, or name an object of it."
            ) from error
    if isinstance(value, base):
        return value
    raise ValueError(
        f"{text} is a subclass of {base.__name__} or an object of one, received {value!r}."
    )


def load_class(text: str, base: type) -> type:
    """The class of that name, which a `class_text` was made of. **Raises** as `load_object`."""
    value = _named(text)
    if not (inspect.isclass(value) and issubclass(value, base)):
        raise ValueError(f"{text} is a subclass of {base.__name__}, received {value!r}.")
    return value


def class_text(kind: type) -> str:
    """Text from which a class is value again: its name, with its module if that is a user's own.

    A user's own are subclasses of an abstract class. Those that no module holds, such as classes of
    a notebook or inside of a function, have their name alone.
    """
    name, module = kind.__qualname__, kind.__module__
    is_own = module.partition(".")[0] not in ("equildm", "__main__")
    is_found = getattr(sys.modules.get(module), name, None) is kind
    if is_own and is_found and any(map(inspect.isabstract, kind.__mro__[1:])):
        return f"{module}:{name}"
    return kind.__name__


def _named(text: str) -> Any:
    module, _, name = text.rpartition(":")
    try:
        return getattr(_file(module) if module.endswith(".py") else _module(module), name)
    except AttributeError:
        raise ValueError(f"{module} has no {name!r}. Correct {text!r}.") from None


def _module(name: str) -> ModuleType:
    here = os.getcwd()
    sys.path.append(here)
    try:
        return importlib.import_module(name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and name.split(".")[0] == error.name:
            raise ValueError(
                f"There is no module {name!r}, neither installed nor in {here}. Run from the "
                "folder in which it lies, or import it first."
            ) from None
        raise _cannot_import(name, error) from error
    finally:
        sys.path.remove(here)


def _file(name: str) -> ModuleType:
    """A file's module. It is called like the file, so that `class_text` names that."""
    name = os.path.normpath(name)
    path = Path(name).resolve()
    loaded = sys.modules.get(name)
    if loaded is not None and loaded.__file__ == str(path):
        return loaded
    if not path.is_file():
        raise ValueError(
            f"There is no file {path}. Run from the folder that {name!r} is relative to, or "
            "correct the path."
        )
    if any((folder / "model.json").is_file() for folder in path.parents):
        raise ValueError(f"{path} lies in the folder of a model, from which no code is run.")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, "a file that ends in .py has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _cannot_import(name, error) from error
    return module


def _cannot_import(name: str, error: Exception) -> ValueError:
    return ValueError(f"{name} cannot be imported: {type(error).__name__}: {error}")
