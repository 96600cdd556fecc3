"""The files below a folder, and what its metadata say of them."""

import csv
import io
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .caption_text import encoding_of, parsed_json, printable
from .files import naming
from .remarks import Remarks

METADATA = ("metadata.jsonl", "metadata.csv")
"""In the format of the `datasets` library's imagefolder; where both are there, the first counts."""


class ListedFile(NamedTuple):
    """A file with its size and time of change."""

    path: Path
    size: int
    changed: int


class Row(NamedTuple):
    """A line of metadata: the file that it names, or None where it names none."""

    place: str
    path: Path | None
    fields: dict[str, Any]


def listed_files(root: Path, remarks: Remarks) -> list[ListedFile]:
    """Every file below, without hidden ones, in the order of their paths.

    Links to folders are followed, after all folders that are no links, and no folder is read twice:
    a link upwards ends there. What is left aside is counted.
    """
    files: list[ListedFile] = []
    seen: set[tuple[int, int]] = set()
    links: list[Path] = []

    def walk(folder: Path) -> None:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:
            remarks.add("link to a folder that is read already, not followed", _below(root, folder))
            return
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith("."):
                remarks.add("hidden file, not used", _below(root, path))
            elif entry.is_dir(follow_symlinks=False):
                walk(path)
            elif entry.is_dir():
                links.append(path)
            elif entry.is_file():
                status = entry.stat()
                files.append(ListedFile(path, status.st_size, status.st_mtime_ns))
            else:
                remarks.add("broken link or no plain file, not used", _below(root, path))

    walk(root)
    while links:
        walk(links.pop(0))
    return sorted(files)


def metadata_rows(path: Path, root: Path) -> Iterator[Row]:
    """The lines of a metadata file that are not blank."""
    with naming(path), path.open("rb") as data:
        encoding = encoding_of(data.read(4))
        data.seek(0)
        csv_lines = path.suffix == ".csv"
        lines = io.TextIOWrapper(
            data, encoding, errors="replace", newline="" if csv_lines else None
        )
        for number, value in _csv(path, lines) if csv_lines else _json(lines):
            place = f"{_below(root, path)}:{number}"
            name = value.get("file_name") if isinstance(value, dict) else None
            if isinstance(value, dict) and isinstance(name, str) and name.strip():
                yield Row(place, _mentioned(path.parent, root, name), value)
            else:
                yield Row(place, None, {})


def _mentioned(folder: Path, root: Path, name: str) -> Path:
    """The path of a file that metadata in `folder` name, spelled as `listed_files` spells it."""
    parts = Path(os.path.normpath(name)).parts
    while parts[:1] == ("..",) and folder != root:
        folder, parts = folder.parent, parts[1:]
    return folder.joinpath(*parts)


def _json(lines: io.TextIOWrapper) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield number, parsed_json(line)
            except ValueError:
                yield number, None


def _csv(path: Path, lines: io.TextIOWrapper) -> Iterator[tuple[int, Any]]:
    try:
        rows = csv.DictReader(lines)
        for row in rows:
            yield rows.line_num, {key: text for key, text in row.items() if key is not None}
    except csv.Error as error:
        raise ValueError(
            f"A metadata file must be a table of commas and quotes; {str(path)!r} is not, at line "
            f"{rows.line_num}: {error}. Write it again, for instance as {METADATA[0]}."
        ) from error


def alike(path: Path) -> str:
    """What is equal for two paths that differ in case, or in how accents are composed, alone."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def _below(root: Path, path: Path) -> str:
    return printable(os.path.relpath(path, root))
