"""Annotations of arrays are checked in each call of a function that has one.

jaxtyping's import hook wraps every function and class. A wrapper takes longer than many functions
do, and a function inside a function is wrapped anew in each call. So those without an annotation of
an array stay as they are: the type checker knows them.
"""

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any

import jaxtyping


def check_arrays(package: str) -> None:
    """From now on, modules of the package are imported with their annotations checked."""
    jaxtyping.jaxtyped = functools.partial(_where_arrays_are, jaxtyping.jaxtyped)
    jaxtyping.install_import_hook(package, "beartype.beartype")


def _where_arrays_are(jaxtyped: Callable[..., Any], *, typechecker: Any) -> Callable[[Any], Any]:
    def decorate(annotated: Any) -> Any:
        if any(map(_has_array, inspect.get_annotations(annotated).values())):
            return jaxtyped(annotated, typechecker=typechecker)
        return annotated

    return decorate


def _has_array(annotation: Any) -> bool:
    if isinstance(annotation, str):  # of what is defined later
        return True
    if isinstance(annotation, type) and issubclass(annotation, jaxtyping.AbstractArray):
        return True
    if isinstance(annotation, list):  # the arguments of a Callable
        return any(map(_has_array, annotation))
    if typing.get_origin(annotation) is typing.Literal:
        return False
    leaf = getattr(annotation, "leaftype", None)  # of a PyTree
    return any(map(_has_array, typing.get_args(annotation))) or (
        leaf is not None and _has_array(leaf)
    )
