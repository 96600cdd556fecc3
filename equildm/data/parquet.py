"""Parquet files with an image column and a caption or label column."""

import itertools
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, final

import numpy as np

from ..runtime.address import FilePath
from .handles import Handles
from .parquet_files import as_python, column_of, opened
from .table_source import AbstractTableSource, table_paths

_OPEN = 16
"""Files that are open at once. Each keeps what is known of all its row groups in memory."""
_MEMORY = 2**29
"""Bytes of row groups that stay in memory."""


@final
class ParquetSource(AbstractTableSource):
    """Images with captions in parquet files.

    The image column is `image`, or `jpg`, `png` or `webp` as img2dataset calls it, or
    `image_column`. The caption column is `text`, `caption` or `caption_column`; where there is
    none, `label`. For what they may hold see `AbstractTableSource`.

    Parquet is read by row groups. Reading in order is fast, and 512 MB of row groups stay in
    memory, but random access to more than that decodes a row group for each image. To train so
    without a cache of latents, convert the files with `write_arrayrecord`.
    Of a file at an address the columns of a row group are copied when they are needed.

    **Raises** `ValueError` for no files, a file that is not parquet, a column that is missing or of
    a wrong type, and classes without names.
    """

    _kind = "parquet"

    def __init__(
        self,
        files: Sequence[str | FilePath],
        *,
        image_column: str | None = None,
        caption_column: str | None = None,
    ):
        paths = table_paths(self._kind, files)
        self._files = Handles(lambda number: opened(paths[number]), _OPEN)
        schemas, rows = [], []  # rows of each group of each file
        for number in range(len(paths)):
            file = self._files[number]
            schemas.append(file.schema_arrow)
            groups = range(file.metadata.num_row_groups)
            rows.append([file.metadata.row_group(group).num_rows for group in groups])
        self._starts = np.cumsum([0, *itertools.chain(*rows)])
        self._file_groups = np.cumsum([0, *map(len, rows)])
        self._columns: OrderedDict[tuple[int, str], Any] = (
            OrderedDict()
        )  # least recently used first
        self._reading = threading.Lock()  # a ParquetFile is read by one thread at a time
        super().__init__(
            paths, schemas, [sum(counts) for counts in rows], image_column, caption_column
        )

    def _value(self, index: int, column: str) -> Any:
        group = int(np.searchsorted(self._starts, index, side="right")) - 1
        row = index - int(self._starts[group])
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
