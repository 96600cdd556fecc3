"""What a compiled program sends between devices, read from its text."""

import dataclasses
import math
import re
from collections.abc import Iterable
from typing import cast, get_args, Literal, TypedDict

from .hlo_text import bytes_of, computations, fusions, times_of

Kind = Literal[
    "all-gather",
    "reduce-scatter",
    "all-reduce",
    "all-to-all",
    "ragged-all-to-all",
    "collective-permute",
    "collective-broadcast",
]
"""The instructions that move data between devices, by XLA's names."""

_KINDS = "|".join(get_args(Kind))
_TWICE = ("all-to-all", "ragged-all-to-all", "collective-permute", "collective-broadcast")
"""Kinds whose start names both what goes in and what comes out, of one size."""
_COLLECTIVE = re.compile(rf"^\s+(?:ROOT )?%?[\w.\-]+ = (.*?) ({_KINDS})(-start)?\(")
_STARTED = re.compile(r"%?async-collective-start[\w.\-]* = .* fusion\(.*calls=%?([\w.\-]+)")
_LIST = re.compile(r"replica_groups=\{\{([\d,]*)\}")
_IOTA = re.compile(r"replica_groups=\[\d+,(\d+)\]")
_NAMED = re.compile(
    r"replica_groups=mesh\[([^\]]*)\](?:, device_ids=\([^)]*\))? \{([^}]*)\}"
)  # axes by name, one of which may be a part of it: 'b':(1)4
_AXIS = re.compile(r"'(\w+)'(?::\(\d+\)(\d+))?")
_EVERYONE = re.compile(r"(?:num_partitions|replica_count)=(\d+)")


@dataclasses.dataclass(frozen=True)
class Collective:
    """One instruction.

    **Fields:**

    - `kind`: what it does.
    - `size`: bytes of the complete array: of an all-gather's result, of a reduce-scatter's input.
    - `devices`: number of devices in one group.
    - `times`: how often a step runs it, by the lengths of the loops around it.
    - `source`: the JAX operation behind it, by JAX's name.
    """

    kind: Kind
    size: float
    devices: int
    times: int
    source: str

    @property
    def received(self) -> float:
        """Bytes that come into each device in a step, by the best algorithm on a ring."""
        share = (self.devices - 1) / self.devices
        once = {"all-reduce": 2 * share, "collective-permute": 1.0}.get(self.kind, share)
        return once * self.size * self.times


class CollectiveTotals(TypedDict):
    """The collectives of one kind in a program."""

    instructions: int
    """Instructions in the program."""
    runs: int
    """How often they run in a step."""
    bytes: float
    """Bytes of the complete arrays, over all runs."""
    received: float
    """Bytes that come into each device, over all runs."""
    largest: float
    """Bytes of the largest array."""


def read_collectives(text: str, turns: int = 1) -> list[Collective]:
    """Every collective of a compiled program that moves anything.

    A collective that overlaps with fusions is written in each of them, and counts where it starts.
    An all-reduce whose fusion hands each device only its part is a reduce-scatter.

    **Arguments:**

    - `text`: the program, `compiled.as_text()`.
    - `turns`: the length of a loop whose text does not state one.

    **Raises** `ValueError` for text without an entry computation.
    """
    lines, entry = computations(text)
    everyone = math.prod(map(int, _EVERYONE.findall(text.partition("\n")[0])))
    times = times_of(lines, entry, turns)
    continued = fusions(text) - set(_STARTED.findall(text))
    collectives = []
    for name, body in lines.items():
        for line in body:
            match = _COLLECTIVE.match(line)
            if match is None or not times[name]:
                continue
            shape, kind, start = match.groups()
            scattered = kind == "all-reduce" and "all-reduce-scatter" in name
            if name in continued and not scattered:
                continue
            devices = _devices(line, 2 if kind == "collective-permute" else everyone)
            size = bytes_of(shape)
            if start and kind in ("all-gather", "reduce-scatter"):  # a part and the entire array
                size *= devices / (devices + 1)
            elif start and kind in _TWICE:
                size /= 2
            elif kind == "reduce-scatter":
                size *= devices
            kind = cast(Kind, "reduce-scatter" if scattered else kind)
            source = re.search(r'op_name="([^"]*)"', line)
            if devices > 1:
                op_name = source.group(1) if source else ""
                collectives.append(Collective(kind, size, devices, times[name], op_name))
    return collectives


def totals(collectives: Iterable[Collective]) -> dict[Kind, CollectiveTotals]:
    """The sums over the collectives of each kind."""
    kinds: dict[Kind, CollectiveTotals] = {}
    for one in collectives:
        kind = kinds.setdefault(
            one.kind, {"instructions": 0, "runs": 0, "bytes": 0.0, "received": 0.0, "largest": 0.0}
        )
        kind["instructions"] += 1
        kind["runs"] += one.times
        kind["bytes"] += one.size * one.times
        kind["received"] += one.received
        kind["largest"] = max(kind["largest"], one.size)
    return kinds


def _devices(line: str, default: int) -> int:
    """Devices in one group of a collective; `default` where the line names no group."""
    if listed := _LIST.search(line):
        return len(listed.group(1).split(","))
    if iota := _IOTA.search(line):
        return int(iota.group(1))
    if axes := _NAMED.search(line):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", axes.group(1)))
        return math.prod(int(part or sizes[axis]) for axis, part in _AXIS.findall(axes.group(2)))
    return default
