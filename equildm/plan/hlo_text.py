"""A compiled program's text, read: its computations, how often each runs, the bytes of a shape.

The text is XLA's, `compiled.as_text()`: one instruction a line, one computation after the other,
the loops' bodies among them.
"""

import math
import re
from collections import defaultdict

_BYTES = {"pred": 1, "s4": 0.5, "u4": 0.5, "bf16": 2, "f16": 2}
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{\s*$")
_CALLED = re.compile(
    r"(body|condition|calls|to_apply|branch_computations|called_computations)="
    r"(?:\{([^}]*)\}|%?([\w.\-]+))"
)
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_FUSED = re.compile(r" fusion\(.*calls=%?([\w.\-]+)")
_SHAPE = re.compile(r"(pred|[a-z]+\d+)[a-z0-9]*\[([\d,]*)\]")


def computations(text: str) -> tuple[dict[str, list[str]], str]:
    """The lines of each computation by its name, and the name of the entry."""
    lines: dict[str, list[str]] = {}
    entry, current = "", None
    for line in text.splitlines():
        start = _COMPUTATION.match(line)
        if start:
            current = start.group(2)
            lines[current] = []
            entry = current if start.group(1) else entry
        elif line.startswith("}"):
            current = None
        elif current is not None:
            lines[current].append(line)
    if not entry:
        raise ValueError(
            "A compiled program has an ENTRY computation, received text without one. Pass what "
            "`compiled.as_text()` returns."
        )
    return lines, entry


def times_of(lines: dict[str, list[str]], entry: str, unknown: int) -> dict[str, int]:
    """How often each computation runs in a step; `unknown` is the length of a loop whose text does
    not state one."""
    times: dict[str, int] = defaultdict(int)

    def visit(name: str, turns: int) -> None:
        times[name] += turns
        for line in lines.get(name, ()):
            trips = _TRIPS.search(line)
            for role, several, single in _CALLED.findall(line):
                length = (int(trips.group(1)) if trips else unknown) if role == "body" else 1
                for callee in several.split(",") if several else [single]:
                    visit(callee.strip().lstrip("%"), turns * length)

    visit(entry, 1)
    return times


def fusions(text: str) -> set[str]:
    """The computations that run inside of a fusion."""
    return set(_FUSED.findall(text))


def bytes_of(shape: str) -> float:
    """Bytes of a shape, or of a tuple of shapes."""
    total = 0.0
    for dtype, sides in _SHAPE.findall(shape):
        width = _BYTES.get(dtype) or int(re.sub(r"\D", "", dtype)) / 8
        total += width * math.prod(int(side) for side in sides.split(",") if side)
    return total
