"""Parquet files with an image column and a caption or label column."""

import itertools
import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np

from .caption_text import clean_caption, printable
from .classes import class_caption, class_names
from .file_source import AbstractFileSource
from .files import read_mentioned
from .handles import Handles
from .parquet_files import as_python, column_of, opened
from .remarks import Remarks
from .source import digest, file_identity, READING, UnusableSample

_log = logging.getLogger("equildm.data")

_LABEL = "label"
_OPEN = 16
"""Files that are open at once. Each keeps what is known of all its row groups in memory."""
_MEMORY = 2**29
"""Bytes of row groups that stay in memory."""


@final
class ParquetSource(AbstractFileSource):
    """Images with captions in parquet files.

    The image column holds encoded bytes, or `{bytes, path}` structs as the `datasets` library
    writes them (a path alone is relative to the parquet file). The caption column is `text`,
    `caption` or `caption_column`; where there is none, `label`. A caption column of integers holds
    classes, and the captions are their names, which that library stores in the file. Of a list of
    captions the first is used; the others are counted.

    Parquet is read by row groups. Reading in order is fast, and 512 MB of row groups stay in
    memory, but random access to more than that decodes a row group for each image. To train so
    without a cache of latents, convert the files with `write_arrayrecord`.

    **Raises** `ValueError` for no files, a file that is not parquet, a column that is missing or of
    a wrong type, and classes without names.
    """

    def __init__(
        self,
        files: Sequence[str | Path],
        *,
        image_column: str = "image",
        caption_column: str | None = None,
    ):
        self._paths = [Path(file) for file in files]
        if not self._paths:
            raise ValueError(
                "A parquet source must have at least one file; got none. Check the pattern."
            )
        self._files = Handles(lambda number: opened(self._paths[number]), _OPEN)
        schemas, rows = [], []  # rows of each group of each file
        for number in range(len(self._paths)):
            file = self._files[number]
            schemas.append(file.schema_arrow)
            groups = range(file.metadata.num_row_groups)
            rows.append([file.metadata.row_group(group).num_rows for group in groups])
        captions = ("text", "caption", _LABEL) if caption_column is None else (caption_column,)
        self._image_column = _column(schemas, self._paths, (image_column,), "image_column")
        self._caption_column = _column(schemas, self._paths, captions, "caption_column")
        self._classes = _classes(schemas, self._caption_column)
        self._starts = np.cumsum([0, *itertools.chain(*rows)])
        self._file_groups = np.cumsum([0, *map(len, rows)])
        self._file_starts = self._starts[self._file_groups]
        if len(self) == 0:
            raise ValueError(
                f"A parquet source must hold rows; {', '.join(map(str, self._paths))} holds none."
            )
        self._columns: OrderedDict[tuple[int, str], Any] = (
            OrderedDict()
        )  # least recently used first
        self._reading = threading.Lock()  # a ParquetFile is read by one thread at a time
        label = self._paths[0].name if len(self._paths) == 1 else str(self._paths[0].parent)
        identities = [file_identity(path) for path in self._paths]
        super().__init__(
            digest(["parquet", READING, self._image_column, self._caption_column, *identities]),
            Remarks(label),
            label,
        )
        for path, counts in zip(self._paths, rows, strict=True):
            if sum(counts) == 0:
                self._remarks.add("file without rows", path.name)
        self._remarks.log()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def name(self, index: int) -> str:
        number = self._file_of(index)
        return f"{printable(self._paths[number].name)}:{index - int(self._file_starts[number])}"

    def _read_caption(self, index: int) -> str:
        value, name = self._value(index, self._caption_column), self.name(index)
        if self._classes is not None and value is not None:
            if not 0 <= value < len(self._classes):  # -1 marks what has no label
                raise UnusableSample("missing caption", name, f"no class has the label {value}")
            value = self._classes[value]
        elif self._caption_column == _LABEL and isinstance(value, str):
            value = class_caption(value)
        return clean_caption(value, name, self._remarks.of_sample(index, name))

    def _read_image(self, index: int) -> bytes:
        value = self._value(index, self._image_column)
        if isinstance(value, dict):
            data, path = value.get("bytes"), value.get("path")
            if data is None and path:
                folder = self._paths[self._file_of(index)].parent
                data = read_mentioned(folder / path, self.name(index))
            value = data
        if not value:
            raise UnusableSample("broken image", self.name(index), "empty")
        return value

    def _file_of(self, index: int) -> int:
        return int(np.searchsorted(self._file_starts, index, side="right")) - 1

    def _locate(self, index: int) -> tuple[int, int]:
        group = int(np.searchsorted(self._starts, index, side="right")) - 1
        return group, index - int(self._starts[group])

    def _value(self, index: int, column: str) -> Any:
        group, row = self._locate(index)
        with self._reading:
            if (group, column) not in self._columns:
                number = int(np.searchsorted(self._file_groups, group, side="right")) - 1
                part = group - int(self._file_groups[number])
                self._columns[group, column] = column_of(
                    self._files[number], self._paths[number], part, column
                )
                while len(self._columns) > 2 and self._bytes() > _MEMORY:
                    self._columns.popitem(last=False)
            self._columns.move_to_end((group, column))
            values = self._columns[group, column]
        return as_python(values[row])

    def _bytes(self) -> int:
        return sum(column.nbytes for column in self._columns.values())


def _classes(schemas: list[Any], column: str) -> list[str] | None:
    """The names of the classes of an integer column, or None for text. Logs which column it is."""
    from pyarrow import types

    integers = [types.is_integer(schema.field(column).type) for schema in schemas]
    classes = class_names(schemas, column) if any(integers) else None
    if classes is not None:
        _log.warning("captions are the names of %d classes of column %s", len(classes), column)
    elif column == _LABEL or any(_LABEL in schema.names for schema in schemas):
        _log.warning("captions are the text of column %s", column)
    return classes


def _column(schemas: list[Any], paths: list[Path], candidates: Sequence[str], option: str) -> str:
    """The first candidate that every file has, if it is of the right type."""
    from pyarrow import types

    for candidate in candidates:
        if all(candidate in schema.names for schema in schemas):
            break
    else:
        path, schema = next(
            (path, schema)
            for path, schema in zip(paths, schemas, strict=True)
            if not any(candidate in schema.names for candidate in candidates)
        )
        raise ValueError(
            f"{path.name} must have a column {' or '.join(candidates)}; "
            f"it has {', '.join(schema.names)}. Pass {option}."
        )
    for schema in schemas:
        kind = schema.field(candidate).type
        text = _is_text(kind) or types.is_integer(kind)
        image = types.is_binary(kind) or types.is_large_binary(kind) or types.is_struct(kind)
        if not (text if option == "caption_column" else image):
            need = "text" if option == "caption_column" else "bytes or a {bytes, path} struct"
            raise ValueError(
                f"The column {candidate} must hold {need}; it holds {kind}. Pass {option}."
            )
    return candidate


def _is_text(kind: Any) -> bool:
    """Whether a type is text, or lists of text."""
    from pyarrow import types

    lists = (types.is_list, types.is_large_list, types.is_fixed_size_list)
    if any(is_list(kind) for is_list in lists) or types.is_dictionary(kind):
        kind = kind.value_type
    return types.is_string(kind) or types.is_large_string(kind)
