"""Files of JSON lines that a resumed run goes on with: cutting what it will write again."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

Line = dict[str, int | float]

_BLOCK = 2**16
"""Bytes that are read at a time."""


def read_lines(file: str | os.PathLike[str]) -> list[Line]:
    """Every line of a file, without a last one that a killed process left incomplete.

    **Raises** `ValueError` naming any other line that is not JSON.
    """
    lines = Path(file).read_text(encoding="utf-8").split("\n")
    # Text after the last newline was cut off, even where it happens to parse.
    return [_parsed(file, number, line) for number, line in enumerate(lines[:-1], start=1)]


def cut_after(file: Path, step: int) -> None:
    """Removes the lines of later steps than `step`, and an incomplete last line; all for step 0.

    Steps rise from line to line. The file is read backwards, from its end to the first line that
    stays, and shortened in place by one call: a process that is killed leaves the old file or the
    new one. Nothing happens where there is no file.

    **Raises** `ValueError` naming a line after the cut that is not JSON. Lines before it are not
    looked at.
    """
    if not file.exists():
        return
    with open(file, "r+b") as lines:
        lines.truncate(_end_of(file, lines, step) if step > 0 else 0)


def _end_of(file: Path, lines: BinaryIO, step: int) -> int:
    """Where the last line of a step up to `step` ends."""
    for end, line in _backwards(lines):
        try:
            stays = json.loads(line)["step"] <= step
        except (ValueError, TypeError, KeyError) as error:
            read_lines(file)  # names the line, by its number
            raise ValueError(
                f"Lines of a run's file have a step, received {line!r:.80} in {file}. Remove the "
                "line."
            ) from error
        if stays:
            return end
    return 0


def _backwards(lines: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The end of each complete line, from the last to the first, and the line."""
    position = end = lines.seek(0, os.SEEK_END)
    rest, complete = b"", False
    while position > 0:
        size = min(_BLOCK, position)
        position -= size
        lines.seek(position)
        rest, *parts = (lines.read(size) + rest).split(b"\n")
        for part in reversed(parts):
            if complete:
                yield end, part
            # The text after the last newline has none to count.
            end -= len(part) + (1 if complete else 0)
            complete = True
    if complete:
        yield end, rest


def _parsed(file: str | os.PathLike[str], number: int, line: str) -> Line:
    try:
        values = json.loads(line)
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise ValueError(
            f"Lines of a metrics file are JSON objects; received {line!r:.80} in line {number} of "
            f"{file}. Remove the line."
        )
    return values
