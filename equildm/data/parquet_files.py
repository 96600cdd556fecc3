"""Parquet files: opening, reading a column of a row group, one value of it."""

import os
from collections.abc import Iterator
from typing import Any

from ..runtime.address import Address, FilePath
from .files import is_of_machine


def opened(path: FilePath) -> Any:
    """The open file.

    **Raises** `ValueError` for one that is not parquet, or is damaged; `OSError` where the system
    refuses.
    """
    from pyarrow import ArrowException, parquet

    try:
        # Not mapped into memory: there an error of the disk would end the process without a word.
        source = path.open("rb") if isinstance(path, Address) else path
        file = parquet.ParquetFile(source, memory_map=False)
    except (ArrowException, OSError) as error:
        if is_of_machine(error):
            raise _named(error, path) from error
        raise _no_parquet(path, _line(error)) from error
    data = file.metadata
    rows = sum(data.row_group(group).num_rows for group in range(data.num_row_groups))
    if rows != data.num_rows:
        raise _no_parquet(path, f"its groups have {rows} rows, and it says {data.num_rows}")
    return file


def _named(error: Exception, path: FilePath) -> Exception:
    """An error of the machine with the name of the file, where the system has given a number."""
    if isinstance(error, OSError) and error.errno is not None:
        return OSError(error.errno, os.strerror(error.errno), str(path))
    return type(error)(str(error))


def _no_parquet(path: FilePath, fault: str) -> ValueError:
    return ValueError(
        f"A parquet source's files must be parquet; {str(path)!r} is damaged, cut off or no such "
        f"file: {fault}. Copy it again, or write it again."
    )


def rows_of(file: Any, path: FilePath) -> Iterator[dict[str, Any]]:
    """The rows, as Python values by the names of columns. Damage is an `OSError`."""
    from pyarrow import ArrowException

    try:
        for batch in file.iter_batches():
            columns = [batch.column(name) for name in batch.schema.names]
            for row in range(batch.num_rows):
                values = (as_python(column[row]) for column in columns)
                yield dict(zip(batch.schema.names, values, strict=True))
    except (ArrowException, OSError) as error:
        if is_of_machine(error):
            raise _named(error, path) from error
        raise OSError(
            f"A parquet file must be whole; {str(path)!r} cannot be read: {_line(error)}. Copy it "
            "again, or write it again."
        ) from error


def column_of(file: Any, path: FilePath, group: int, column: str) -> Any:
    """A column of a row group. Damage of it is not one sample's: it is an `OSError`."""
    from pyarrow import ArrowException

    try:
        values = file.read_row_group(group, columns=[column]).column(0)
    except (ArrowException, OSError) as error:
        if is_of_machine(error):
            raise _named(error, path) from error
        raise _damaged(path, group, column, _line(error)) from error
    rows = file.metadata.row_group(group).num_rows
    if len(values) != rows:
        raise _damaged(path, group, column, f"it has {len(values)} of {rows} values")
    return values


def _damaged(path: FilePath, group: int, column: str, fault: str) -> OSError:
    return OSError(
        f"A parquet file must be whole; the column {column} of row group {group} of "
        f"{str(path)!r} cannot be read: {fault}. Copy it again, or write it again."
    )


def as_python(value: Any) -> Any:
    """The Python value; of text that is not UTF-8, U+FFFD for what cannot be read."""
    try:
        return value.as_py()
    except UnicodeDecodeError:
        return _text(value)


def _text(value: Any) -> Any:
    if hasattr(value, "dictionary"):
        value = value.value
    if hasattr(value, "as_buffer"):
        return value.as_buffer().to_pybytes().decode(errors="replace")
    return [_text(item) for item in value.values]


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
