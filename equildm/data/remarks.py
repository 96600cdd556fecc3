"""What of a data set is not used, or is used changed: counted by reason, with the first names."""

import dataclasses
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, final, TypeAlias

_log = logging.getLogger("equildm.data")
_NAMED = 5

Note: TypeAlias = Callable[[str, int], None]
"""Takes a reason and a number: how many things of one sample it holds for."""


@dataclasses.dataclass
class _Tally:
    total: int = 0
    logged: int = 0
    names: list[str] = dataclasses.field(default_factory=list)
    seen: bytearray = dataclasses.field(default_factory=bytearray)  # 1 at a sample's index


@final
class Remarks:
    """Counts by reason, with the first names. Threads may share it.

    A source counts what it leaves aside when it is opened, such as files of other kinds, and logs
    one line for each reason. What only shows when a sample is read, such as a caption with broken
    characters, is logged when it is first met, and again with its total after a pass.

    **Arguments:**

    - `data`: name of the data set in the log.
    """

    def __init__(self, data: str):
        self._data = data
        self._lock = threading.Lock()
        self._tallies: dict[str, _Tally] = {}

    @property
    def counts(self) -> dict[str, int]:
        """How much there is of each reason."""
        return {reason: tally.total for reason, tally in self._tallies.items()}

    @property
    def names(self) -> dict[str, list[str]]:
        """The first names of each reason."""
        return {reason: list(tally.names) for reason, tally in self._tallies.items()}

    def tallies(self, *reasons: str) -> dict[str, tuple[int, list[str]]]:
        """Number and first names of these reasons, by default of all: for `restore`."""
        with self._lock:
            chosen = {reason: self._tallies.get(reason) for reason in reasons or self._tallies}
            return {
                reason: (tally.total, list(tally.names))
                for reason, tally in chosen.items()
                if tally is not None
            }

    def restore(self, tallies: Mapping[str, Sequence[Any]]) -> None:
        """Counts what an earlier pass over the same data met: all that there is of each reason."""
        with self._lock:
            for reason, (total, names) in tallies.items():
                tally = self._tallies.setdefault(reason, _Tally())
                if tally.total < total:
                    tally.total, tally.names = total, list(names)

    def add(self, reason: str, name: str, number: int = 1) -> None:
        """Counts something that was met when the data set was opened."""
        with self._lock:
            tally = self._tallies.setdefault(reason, _Tally())
            tally.total += number
            if len(tally.names) < _NAMED:
                tally.names.append(name)

    def of_sample(self, index: int, name: str) -> Note:
        """Counts what is met in one sample: once for each reason, however often it is read."""
        return partial(self._note, index, name)

    def _note(self, index: int, name: str, reason: str, number: int = 1) -> None:
        with self._lock:
            tally = self._tallies.setdefault(reason, _Tally())
            tally.seen.extend(bytes(max(0, index + 1 - len(tally.seen))))
            if tally.seen[index]:
                return
            tally.seen[index] = 1
            tally.total += number
            if len(tally.names) < _NAMED:
                tally.names.append(name)
            is_first = tally.logged == 0
            if is_first:
                tally.logged = tally.total
        if is_first:
            _log.warning("%s: %s, as in %s; further ones are counted", self._data, reason, name)

    def log(self) -> None:
        """One line for each reason whose count has grown since it was last logged."""
        with self._lock:
            lines = []
            for reason, tally in self._tallies.items():
                if tally.total > tally.logged:
                    names = ", ".join(tally.names)
                    more = ", ..." if tally.total > len(tally.names) else ""
                    lines.append((self._data, tally.total, reason, names + more))
                    tally.logged = tally.total
        for line in lines:
            _log.warning("%s: %d x %s (%s)", *line)


def ignore(reason: str, number: int = 1) -> None:
    """A `Note` that counts nothing."""
