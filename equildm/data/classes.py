"""Captions of labelled images: the names of their classes."""

import json
from collections.abc import Sequence
from typing import Any


def class_caption(name: str) -> str:
    """The name of a class in words: underscores are spaces, as in "golden_retriever"."""
    return " ".join(name.replace("_", " ").split())


def class_names(schemas: Sequence[Any], column: str) -> list[str]:
    """The names of the classes of an integer column, as the `datasets` library stores them.

    They are in the metadata of the Arrow schema, under "huggingface".

    **Arguments:**

    - `schemas`: the Arrow schemas of the files of one data set.
    - `column`: name of the column.

    **Raises** `ValueError` if a file has no names, or if two files have different ones.
    """
    names = [_names_of(schema, column) for schema in schemas]
    if not all(names):
        raise ValueError(
            f"The column {column} must hold text; it holds {schemas[0].field(column).type}, and "
            "there are no names of classes in the metadata of every file. Pass caption_column, or "
            "write the files with the datasets library and a ClassLabel."
        )
    different = [other for other in names if other != names[0]]
    if different:
        raise ValueError(
            f"The files of a data set must have the same classes; got {names[0]} and "
            f"{different[0]} for the column {column}. Open them one by one."
        )
    return [class_caption(name) for name in names[0]]


def _names_of(schema: Any, column: str) -> list[str]:
    try:
        document = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        names = document["info"]["features"][column]["names"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    is_text = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return names if is_text else []
