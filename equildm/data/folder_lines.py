"""What the metadata files of a folder say of its files."""

import csv
import io
import json
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..runtime.address import Address, FilePath
from .caption_text import encoding_of, parsed_json, printable
from .files import naming
from .parquet_files import opened, rows_of

METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
"""In the format of the `datasets` library's imagefolder; the first one of a folder counts."""


class Line(NamedTuple):
    """A line of metadata: the path below the root that it names, or None where it names none."""

    place: str
    path: str | None
    fields: dict[str, Any]


def metadata_lines(root: FilePath, table: str) -> Iterator[Line]:
    """The lines of a metadata file, given by its path below `root`, that are not blank."""
    folder = os.path.dirname(table)
    read = {".csv": _csv, ".jsonl": _json, ".parquet": _parquet}[Path(table).suffix]
    for number, value in read(root / table):
        place = f"{printable(table)}:{number}"
        name = value.get("file_name") if isinstance(value, dict) else None
        if isinstance(value, dict) and isinstance(name, str) and name.strip():
            yield Line(place, _mentioned(folder, root, name), value)
        else:
            yield Line(place, None, {})


def _mentioned(folder: str, root: FilePath, name: str) -> str:
    """The path of a file that metadata in `folder` name, spelled as a listing spells it."""
    path = os.path.normpath(name)
    if os.path.isabs(path):
        return path if isinstance(root, Address) else os.path.relpath(path, root)
    while folder and (path == ".." or path.startswith("../")):
        folder, path = os.path.dirname(folder), path[3:]
    return os.path.normpath(os.path.join(folder, path))


def _text(path: FilePath, newline: str | None) -> Iterator[str]:
    with naming(path), path.open("rb") as data:
        encoding = encoding_of(data.read(4))
        data.seek(0)
        with io.TextIOWrapper(data, encoding, errors="replace", newline=newline) as lines:
            yield from lines


def _json(path: FilePath) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(_text(path, None), start=1):
        if line.strip():
            try:
                yield number, parsed_json(line)
            except ValueError:
                yield number, None


def _csv(path: FilePath) -> Iterator[tuple[int, Any]]:
    rows = None
    try:
        rows = csv.DictReader(_text(path, ""), strict=True, skipinitialspace=True)
        names = [name.strip() for name in rows.fieldnames or ()]
        if len(names) == 1 and names[0].startswith("file_name") and names[0] != "file_name":
            raise ValueError(
                f"A metadata file's columns must be parted by commas; the header of {str(path)!r} "
                f"is {names[0]!r}. Write it again with commas."
            )
        rows.fieldnames = names
        for row in rows:
            # More texts than the header has names: a comma that is not in quotes has cut one.
            yield rows.line_num, None if None in row else row
    except csv.Error as error:
        raise ValueError(
            f"A metadata file must be a table of commas and quotes; {str(path)!r} is not, at line "
            f"{0 if rows is None else rows.line_num}: {error}. Write it again, for instance as "
            f"{METADATA[0]}."
        ) from error


def _parquet(path: FilePath) -> Iterator[tuple[int, Any]]:
    """The rows of a parquet file, from 0 on."""
    yield from enumerate(rows_of(opened(path), path))


def alike(path: str) -> str:
    """What is equal for two paths that differ in case, or in how accents are composed, alone."""
    return unicodedata.normalize("NFC", path).casefold()


def stored_fields(fields: dict[str, Any], columns: tuple[str, ...]) -> str:
    """These columns of a line as JSON. Bytes, dates and the like are no text: an empty object."""
    chosen = {name: fields[name] for name in columns if name in fields}
    return json.dumps(chosen, default=lambda _: {})
