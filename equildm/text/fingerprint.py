"""A hash of what a module computes, which names the caches of its output."""

import dataclasses
import functools
import hashlib
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree


def fingerprint(module: PyTree) -> str:
    """SHA-256 of a module: of its class, the bytes of its arrays and its static settings.

    Two modules with the same fingerprint give the same output for the same input, in this process
    or another. Reads every weight: about 1 GB/s.

    **Arguments:**

    - `module`: a pytree of modules, data classes, arrays, plain values and named functions. For a
        static object of another kind its `fingerprint` attribute counts. A field that was added
        later, with `metadata={"before": None}`, counts where it is not `None`.

    **Returns:**

    64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    _add(digest, "", module)
    return digest.hexdigest()


def _add(digest: Any, name: str, node: PyTree) -> None:
    """Adds `node` with the path that leads to it, so that equal arrays cannot change places."""
    if dataclasses.is_dataclass(node) and not isinstance(node, type):  # as every module is
        digest.update(f"{name}:{type(node).__name__};".encode())
        for field in dataclasses.fields(node):
            if "before" in field.metadata and getattr(node, field.name) is None:
                continue  # a later field that changes nothing: caches of before are still good
            _add(digest, f"{name}.{field.name}", getattr(node, field.name))
    elif isinstance(node, tuple | list):
        digest.update(f"{name}:{len(node)};".encode())
        for i, item in enumerate(node):
            _add(digest, f"{name}[{i}]", item)
    elif isinstance(node, dict):
        for key in sorted(node):
            _add(digest, f"{name}[{key!r}]", node[key])
    elif isinstance(node, np.ndarray | jax.Array):
        array = np.ascontiguousarray(node)
        digest.update(f"{name}:{array.dtype}{array.shape};".encode())
        digest.update(array.reshape(-1).view(np.uint8))
    elif node is None or isinstance(node, bool | int | float | str | np.generic):
        digest.update(f"{name}={node!r};".encode())
    elif hasattr(node, "fingerprint"):
        digest.update(f"{name}:{node.fingerprint};".encode())
    elif isinstance(node, functools.partial):
        _add(digest, name, (node.func, node.args, node.keywords))
    elif hasattr(node, "__qualname__"):
        digest.update(f"{name}:{node.__module__}.{node.__qualname__};".encode())
    else:
        raise ValueError(
            f"fingerprint cannot name the {type(node).__name__} at '{name}'. Give its class a "
            "`fingerprint` attribute, or hold a named function instead."
        )
