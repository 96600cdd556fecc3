"""What sources of tables have in common: columns of images and captions, rows by number."""

import abc
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Int

from ..runtime.address import file_path, FilePath
from .caption_text import clean_captions, printable
from .classes import class_caption
from .file_source import AbstractFileSource
from .files import distinct_names, read_mentioned
from .remarks import Remarks
from .source import digest, file_identity, READING, UnusableSample
from .table_columns import caption_column, column_classes, image_column, LABEL


class AbstractTableSource(AbstractFileSource):
    """The rows of files with the same columns.

    The image column holds encoded bytes, or `{bytes, path}` structs as the `datasets` library
    writes them (a path alone is relative to the file). A caption column of integers holds classes,
    and the captions are their names, which that library stores in the file. A caption column of
    lists holds several captions of each image.

    **Arguments:**

    - `paths`: of the files.
    - `schemas`: their Arrow schemas.
    - `rows`: their numbers of rows.
    - `image`: the image column, by default the first of `table_columns.IMAGE_COLUMNS`.
    - `caption`: the caption column, by default the first of `table_columns.CAPTION_COLUMNS`.

    **Raises** `ValueError` for a column that is missing or of a wrong type, classes without names,
    and no rows.
    """

    _kind: ClassVar[str]
    """Of the files, in errors and in the fingerprint."""

    def __init__(
        self,
        paths: Sequence[FilePath],
        schemas: Sequence[Any],
        rows: Sequence[int],
        image: str | None,
        caption: str | None,
    ):
        self._paths = list(paths)
        self._image_column = image_column(schemas, paths, image)
        self._caption_column = caption_column(schemas, paths, caption)
        self._classes = column_classes(schemas, self._caption_column)
        self._file_starts = np.cumsum([0, *rows])
        if len(self) == 0:
            raise ValueError(
                f"A {self._kind} source must hold rows; {', '.join(map(str, paths))} holds none."
            )
        label = paths[0].name if len(paths) == 1 else str(paths[0].parent)
        identities = [file_identity(path) for path in paths]
        columns = (self._image_column, self._caption_column)
        super().__init__(
            digest([self._kind, READING, *columns, *identities]),
            Remarks(label),
            label,
            distinct_names(paths),
        )
        for path, count in zip(paths, rows, strict=True):
            if count == 0:
                self._remarks.add("file without rows", path.name)
        self._remarks.log()

    @abc.abstractmethod
    def _value(self, index: int, column: str) -> Any:
        """The value of a row in a column."""

    def __len__(self) -> int:
        return int(self._file_starts[-1])

    @property
    def file_starts(self) -> Int[np.ndarray, "files"]:
        return np.unique(self._file_starts[:-1])

    def name(self, index: int) -> str:
        number, row = self._locate(index)
        return f"{printable(self._file_names[number])}:{row}"

    def _locate(self, index: int) -> tuple[int, int]:
        """The number of a sample's file, and its row in that file."""
        number = int(np.searchsorted(self._file_starts, index, side="right")) - 1
        return number, index - int(self._file_starts[number])

    def _read_captions(self, index: int) -> tuple[str, ...]:
        value, name = self._value(index, self._caption_column), self.name(index)
        if self._classes is not None and value is not None:
            if not 0 <= value < len(self._classes):  # -1 marks what has no label
                raise UnusableSample("missing caption", name, f"no class has the label {value}")
            value = self._classes[value]
        elif self._caption_column == LABEL and isinstance(value, str):
            value = class_caption(value)
        return clean_captions(value, name, self._remarks.of_sample(index, name))

    def _read_image(self, index: int) -> bytes:
        value = self._value(index, self._image_column)
        if isinstance(value, dict):
            data, path = value.get("bytes"), value.get("path")
            if data is None and path:
                number, _ = self._locate(index)
                data = read_mentioned(self._paths[number].parent / path, self.name(index))
            value = data
        if not value:
            raise UnusableSample("broken image", self.name(index), "empty")
        return value


def table_paths(kind: str, files: Sequence[str | FilePath]) -> list[FilePath]:
    """The files as paths, or addresses. **Raises** `ValueError` for none."""
    if not files:
        raise ValueError(
            f"A {kind} source must have at least one file; got none. Check the pattern."
        )
    return [file_path(file) for file in files]
