"""Arrow files, and folders of them that the `datasets` library saved."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

from ..runtime.address import FilePath
from .copied import local_files
from .files import naming
from .handles import Handles
from .parquet_files import as_python
from .table_source import AbstractTableSource, table_paths

STATE = "state.json"
"""Of a folder that `Dataset.save_to_disk` of the `datasets` library wrote."""
SPLITS = "dataset_dict.json"
"""Of a folder with a sub-folder for each split, which `DatasetDict.save_to_disk` wrote."""


_MAGIC, _END = b"ARROW1", b"\xff\xff\xff\xff\0\0\0\0"
"""The beginning of an Arrow file, and the end of an Arrow stream."""


@final
class ArrowSource(AbstractTableSource):
    """Images with captions in Arrow files, as the `datasets` library saves and caches them.

    Columns are those of `ParquetSource`. The files are mapped into memory, so random access costs
    no more than reading in order. Those at an address are copied first, once. That library is not
    needed.

    **Raises** `ValueError` for no files, a file that is not Arrow or is damaged, a column that is
    missing or of a wrong type, and classes without names.
    """

    _kind = "arrow"

    def __init__(
        self,
        files: Sequence[str | FilePath],
        *,
        image_column: str | None = None,
        caption_column: str | None = None,
    ):
        paths = table_paths(self._kind, files)
        local = local_files(paths)
        self._files = Handles(lambda number: _opened(local[number]))
        tables = (self._files[number] for number in range(len(paths)))
        parts = [(table.schema, table.num_rows) for table in tables]
        schemas, rows = [schema for schema, _ in parts], [count for _, count in parts]
        super().__init__(paths, schemas, rows, image_column, caption_column)

    def _value(self, index: int, column: str) -> Any:
        number, row = self._locate(index)
        return as_python(self._files[number].column(column)[row])


def saved_files(folder: FilePath) -> list[str]:
    """The Arrow files of a folder that the `datasets` library saved, in order.

    **Raises** `ValueError` for a folder with several splits, or a damaged one.
    """
    if (folder / SPLITS).is_file():
        names = _document(folder / SPLITS).get("splits")
        names = names if isinstance(names, list) else []
        if len(names) != 1:
            choices = " or ".join(repr(str(folder / str(name))) for name in names)
            raise ValueError(
                f"A saved data set must be one split; {str(folder)!r} holds {len(names)}. "
                f"Name the folder of one: {choices or 'it has none'}."
            )
        return saved_files(folder / str(names[0]))
    files = _document(folder / STATE).get("_data_files")
    entries = files if isinstance(files, list) else []
    names = [entry.get("filename") for entry in entries if isinstance(entry, dict)]
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"A saved data set's {STATE} must name its files; {str(folder / STATE)!r} names none. "
            "Save it again."
        )
    return [str(folder / name) for name in names]


def _document(path: FilePath) -> dict[str, Any]:
    try:
        with naming(path):
            document = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(
            f"A saved data set's {path.name} must be JSON; {str(path)!r} is not: {error}. Save it "
            "again."
        ) from error
    return document if isinstance(document, dict) else {}


def _opened(path: Path) -> Any:
    """The table of a file, in either of Arrow's two formats: a stream, or a file with a footer."""
    import pyarrow as pa

    try:
        with naming(path):
            mapped = pa.memory_map(os.fspath(path))
            if mapped.read_at(len(_MAGIC), 0) == _MAGIC:
                return pa.ipc.open_file(mapped).read_all()
            table = pa.ipc.open_stream(mapped).read_all()
            # A stream that is cut off between two batches reads as a shorter one.
            if mapped.read_at(len(_END), mapped.size() - len(_END)) != _END:
                raise pa.ArrowInvalid("it has no end")
            return table
    except FileNotFoundError as error:
        raise ValueError(f"An Arrow file must exist; got {str(path)!r}. Check the path.") from error
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(
            f"An Arrow source's files must be Arrow; {str(path)!r} is damaged, cut off or no such "
            f"file: {' '.join(str(error).split())}. Copy it again, or write it again."
        ) from error
