"""Tables about the samples of large data sets, built once and mapped into memory from then on.

A table of at most 20,000 rows is held in memory. A larger one is an Arrow file in a folder of the
user's cache:

    index/KEY/rows.arrow    the rows, in batches of 20,000
    index/KEY/about.json    their number, the size of the file, and what the scan says of the whole

`KEY` changes with the data. Processes that need the same table at once wait for the one that builds
it. The folder may be deleted at any time.
"""

import contextlib
import itertools
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, final, TypeAlias

import numpy as np

from ..runtime import cache_folder
from .files import naming
from .once import appears_whole, one_at_a_time

_log = logging.getLogger("equildm.data")

ROWS = 20_000
"""Rows of a batch; a table of more than one batch goes to the disk."""
VARIABLE = "EQUILDM_INDEX"
_SECONDS = 20
"""Between two lines about the progress."""

Scan: TypeAlias = Callable[[], Generator[tuple, None, dict[str, Any]]]
"""Yields the rows in order, and returns what is to be known of the whole."""


@final
class IndexTable:
    """Rows in columns, and `about`: what the scan said of the whole."""

    def __init__(self, batches: list[Any], about: dict[str, Any]):
        self._batches = batches
        self._starts = np.cumsum([0, *(batch.num_rows for batch in batches)])
        self.about = about

    def __len__(self) -> int:
        return int(self._starts[-1])

    def row(self, index: int, *columns: str) -> tuple[Any, ...]:
        """The values of one row in these columns."""
        batch, place = divmod(index, ROWS)
        values = self._batches[batch]
        return tuple(values.column(column)[place].as_py() for column in columns)

    def column(self, name: str) -> np.ndarray:
        """A column of numbers."""
        parts = [batch.column(name).to_numpy() for batch in self._batches]
        return np.concatenate(parts) if parts else np.zeros(0, np.uint64)


def index_folder() -> Path:
    """Where tables lie: `$EQUILDM_INDEX`, or `index` in the user's cache folder."""
    return Path(os.environ.get(VARIABLE) or cache_folder() / "index").expanduser().absolute()


def index_table(key: str, label: str, schema: Any, scan: Scan) -> IndexTable:
    """The table of that key, which is built by a scan if there is none.

    **Arguments:**

    - `key`: a digest of all that the rows depend on.
    - `label`: name of the data in the log.
    - `schema`: the Arrow schema of the rows.
    - `scan`: gives the rows. Its errors pass, and leave no table behind.
    """
    folder = index_folder() / key
    table = _opened(folder)
    if table is not None:
        return table
    about: dict[str, Any] = {}
    batches = _batches(schema, scan(), about)
    first = list(itertools.islice(batches, 2))
    if len(first) < 2:
        return IndexTable(first, about)
    with contextlib.ExitStack() as held:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            waiting = f"{label}: waits for the index that another process builds"
            held.enter_context(one_at_a_time(folder.parent / f".{key}.lock", waiting))
        except OSError as error:
            _log.warning(
                "%s: its index stays in the memory of each process, as there is no place for it "
                "(%s). Set %s to a folder that can be written.",
                *(label, error, VARIABLE),
            )
            return IndexTable([*first, *_reported(batches, label)], about)
        table = _opened(folder)
        if table is None:
            _log.warning("%s: its index is built, once, in %s", label, folder)
            rows = _reported(itertools.chain(first, batches), label)
            _write(folder, schema, rows, about)
            table = _opened(folder)
    if table is None:
        raise OSError(f"The index {str(folder)!r} cannot be read. Set {VARIABLE} to another disk.")
    return table


def _batches(
    schema: Any, rows: Generator[tuple, None, dict[str, Any]], about: dict[str, Any]
) -> Iterator[Any]:
    """The rows as Arrow batches. At the end `about` is filled."""
    import pyarrow as pa

    part: list[tuple] = []

    def batch() -> Any:
        columns = zip(*part, strict=True)
        arrays = [pa.array(values, field.type) for values, field in zip(columns, schema)]
        return pa.record_batch(arrays, schema=schema)

    while True:
        try:
            part.append(next(rows))
        except StopIteration as end:
            about.update(end.value)
            break
        if len(part) == ROWS:
            yield batch()
            part = []
    if part:
        yield batch()


def _reported(batches: Iterator[Any], label: str) -> Iterator[Any]:
    """The batches, with a line in the log now and then."""
    begin = last = time.monotonic()
    rows = 0
    for batch in batches:
        yield batch
        rows += batch.num_rows
        now = time.monotonic()
        if now - last > _SECONDS:
            _log.warning("%s: %d samples indexed, %d a second", label, rows, rows / (now - begin))
            last = now
    seconds = time.monotonic() - begin
    _log.warning("%s: %d samples indexed in %.1f s", label, rows, seconds)


def _write(folder: Path, schema: Any, batches: Iterator[Any], about: dict[str, Any]) -> None:
    """Writes a table. It gets its name when it is complete."""
    import pyarrow as pa

    shutil.rmtree(folder, ignore_errors=True)  # one that is damaged
    with appears_whole(folder) as part:
        rows = 0
        with pa.ipc.new_file(str(part / "rows.arrow"), schema) as writer:
            for batch in batches:
                with naming(folder):  # a full disk; errors of the data have the name of their file
                    writer.write_batch(batch)
                rows += batch.num_rows
        size = (part / "rows.arrow").stat().st_size
        document = {"rows": rows, "bytes": size, "about": about}
        (part / "about.json").write_text(json.dumps(document))


def _opened(folder: Path) -> IndexTable | None:
    """The table in a folder, or None if there is none, or a damaged one."""
    import pyarrow as pa

    if not folder.is_dir():
        return None
    try:
        document = json.loads((folder / "about.json").read_text())
        size = (folder / "rows.arrow").stat().st_size
        if size != document["bytes"]:
            raise ValueError(f"it has {size} of {document['bytes']} bytes")
        reader = pa.ipc.open_file(pa.memory_map(str(folder / "rows.arrow")))
        batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        table = IndexTable(batches, document["about"])
        if len(table) != document["rows"]:
            raise ValueError(f"it has {len(table)} of {document['rows']} rows")
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        if isinstance(error, FileNotFoundError) and not folder.is_dir():
            return None  # another process replaces it
        _log.warning("the index %s is damaged and is built again: %s", folder, error)
        return None
    return table
