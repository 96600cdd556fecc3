"""Which columns of a table hold the images and the captions."""

import logging
from collections.abc import Sequence
from typing import Any

from ..runtime.address import FilePath
from .classes import class_names

_log = logging.getLogger("equildm.data")

LABEL = "label"
CAPTION_COLUMNS = ("text", "caption", LABEL)
IMAGE_COLUMNS = ("image", "jpg", "png", "webp")
"""The first one that is there counts. The last three are those of img2dataset."""


def image_column(schemas: Sequence[Any], paths: Sequence[FilePath], requested: str | None) -> str:
    """The column of the images, by default the first of `IMAGE_COLUMNS`.

    **Raises** `ValueError` if a file lacks it, or has it with a wrong type.
    """
    return _column(schemas, paths, requested, IMAGE_COLUMNS, "image")


def caption_column(schemas: Sequence[Any], paths: Sequence[FilePath], requested: str | None) -> str:
    """The column of the captions, by default the first of `CAPTION_COLUMNS`.

    **Raises** `ValueError` if a file lacks it, or has it with a wrong type.
    """
    return _column(schemas, paths, requested, CAPTION_COLUMNS, "caption")


def column_classes(schemas: Sequence[Any], column: str) -> list[str] | None:
    """The names of the classes of an integer column, or None for text. Logs which column it is."""
    from pyarrow import types

    integers = [types.is_integer(schema.field(column).type) for schema in schemas]
    classes = class_names(schemas, column) if any(integers) else None
    if classes is not None:
        _log.warning("captions are the names of %d classes of column %s", len(classes), column)
    elif column == LABEL or any(LABEL in schema.names for schema in schemas):
        _log.warning("captions are the text of column %s", column)
    return classes


def _column(
    schemas: Sequence[Any],
    paths: Sequence[FilePath],
    requested: str | None,
    usual: Sequence[str],
    kind: str,
) -> str:
    """The first candidate that every file has, if it is of the right type."""
    from pyarrow import types

    advice = f"Pass {kind}_column, or on a command line 'FILES?{kind}=COLUMN'"
    candidates = usual if requested is None else (requested,)
    for candidate in candidates:
        if all(candidate in schema.names for schema in schemas):
            break
    else:
        usable = [[name for name in candidates if name in schema.names] for schema in schemas]
        if all(usable):
            pairs = zip(paths, usable, strict=True)
            each = "; ".join(f"{path.name} has {names[0]}" for path, names in pairs)
            raise ValueError(f"All files must have the same {kind} column; {each}. Rename it.")
        path, schema = next(
            (path, schema)
            for path, schema, names in zip(paths, schemas, usable, strict=True)
            if not names
        )
        raise ValueError(
            f"{path.name} must have a column {' or '.join(candidates)}; "
            f"it has {', '.join(schema.names)}. {advice}."
        )
    for schema in schemas:
        type_ = schema.field(candidate).type
        text = _is_text(type_) or types.is_integer(type_)
        kinds = (types.is_binary, types.is_large_binary, types.is_binary_view, types.is_struct)
        image = any(is_kind(type_) for is_kind in kinds)
        if not (text if kind == "caption" else image):
            need = "text" if kind == "caption" else "bytes or a {bytes, path} struct"
            raise ValueError(
                f"The column {candidate} must hold {need}; it holds {type_}. {advice}."
            )
    return candidate


def _is_text(kind: Any) -> bool:
    """Whether a type is text, or lists of text."""
    from pyarrow import types

    lists = (types.is_list, types.is_large_list, types.is_fixed_size_list)
    if any(is_list(kind) for is_list in lists) or types.is_dictionary(kind):
        kind = kind.value_type
    texts = (types.is_string, types.is_large_string, types.is_string_view)
    return any(is_kind(kind) for is_kind in texts)
