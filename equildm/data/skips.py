"""Unusable samples are counted, named in the log and skipped.

There is no separate pass over the data set, because checking an image costs as much as decoding it.
A cache of latents checks every image when it decodes it. Training on pixels checks a few images
before it begins, and each one when its turn comes, and takes the next usable one in its place.
"""

import logging
import math
import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import final, TypeVar

import numpy as np

from .source import AbstractSource, UnusableSample

_log = logging.getLogger("equildm.data")
_T = TypeVar("_T")
_NAMED_LOUDLY = 20
_NAMED = 5
_PROBED = 64


@final
class Skips:
    """The unusable samples of one source, recorded as they are met. Threads may share it.

    Each is logged once, by name: the first 20 as warnings, the others at level INFO. Only faults of
    the data are recorded. An `OSError` says that the machine failed, and ends the run: a cache that
    is made while a disk is away must not lack its images for good.

    **Arguments:**

    - `source`: the samples.
    - `limit`: share of them that may be unusable, by default all. The first one above it raises
        `ValueError`.
    """

    def __init__(self, source: AbstractSource, limit: float = 1.0):
        self._source, self._limit = source, limit
        self._lock = threading.Lock()
        self._reasons: dict[int, tuple[str, str]] = {}  # index: reason, name

    @property
    def counts(self) -> dict[str, int]:
        """The number of skipped samples, by reason."""
        return dict(Counter(reason for reason, _ in self._reasons.values()))

    @property
    def names(self) -> dict[str, list[str]]:
        """The names of the skipped samples, by reason, in the order of the source."""
        names: dict[str, list[str]] = {}
        for _, (reason, name) in sorted(self._reasons.items()):
            names.setdefault(reason, []).append(name)
        return names

    def names_in(self, start: int, stop: int) -> dict[str, list[str]]:
        """The names of those at start <= index < stop, by reason."""
        names: dict[str, list[str]] = {}
        for index in range(start, stop):
            if index in self._reasons:
                reason, name = self._reasons[index]
                names.setdefault(reason, []).append(name)
        return names

    def attempt(self, index: int, read: Callable[[int], _T]) -> _T | None:
        """`read(index)`, or None (and a line in the log) if the sample cannot be used.

        **Raises** `ValueError` where that is one too many.
        """
        try:
            return read(index)
        except UnusableSample as error:
            unusable = error
        except (ValueError, KeyError) as error:  # from a source of the user
            unusable = UnusableSample("unreadable record", self._name(index), str(error))
        self.note(index, unusable)
        return None

    def probe(self, read: Callable[[int], object], count: int = _PROBED) -> None:
        """Reads some samples, spread evenly, so that data of the wrong kind are refused at once.

        Of up to `count` samples all are read. Of more, the share that is unusable may be larger
        than the limit by three standard deviations.

        **Raises** `ValueError` where too many of them, or all samples, are unusable.
        """
        total = len(self._source)
        indices = np.unique(np.linspace(0, total, min(count, total), endpoint=False).astype(int))
        with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
            usable = list(pool.map(lambda i: self.attempt(i, read) is not None, indices.tolist()))
        unusable, most = usable.count(False), self._limit
        if usable and len(usable) < total:
            most += 3 * math.sqrt(most * (1 - most) / len(usable))
        if unusable > most * len(usable):
            raise ValueError(over_limit(self._limit, len(usable), self.counts, self.names))
        self.nearest(0, read)

    def nearest(self, index: int, read: Callable[[int], _T]) -> _T:
        """`read` of the first usable sample at or after `index`, starting over at the end.

        The choice depends on the data alone, not on what was read before, so that a resumed run
        takes the same sample. **Raises** `ValueError` if no sample is usable.
        """
        count = len(self._source)
        for step in range(count):
            candidate = (index + step) % count
            if candidate not in self._reasons:
                result = self.attempt(candidate, read)
                if result is not None:
                    return result
        self.require(0)
        raise AssertionError("unreachable")

    def note(self, index: int, error: UnusableSample) -> None:
        """Records and logs an unusable sample. **Raises** `ValueError` where it is one too many."""
        with self._lock:
            if index in self._reasons:
                return
            self._reasons[index] = error.reason, error.name
            loud = len(self._reasons) <= _NAMED_LOUDLY
            too_many = len(self._reasons) / len(self._source) > self._limit
            report = dict(self.names) if too_many else {}
        _log.log(logging.WARNING if loud else logging.INFO, "skipped %s", error)
        if too_many:
            counts = {reason: len(names) for reason, names in report.items()}
            raise ValueError(over_limit(self._limit, len(self._source), counts, report))

    def require(self, usable: int) -> None:
        """Raises `ValueError` with the reasons if the number of usable samples is 0."""
        require_usable(usable, len(self._source), self.counts)

    def summarise(self) -> None:
        """One line in the log, if anything was skipped, and the source's remarks."""
        self._source.remarks.log()
        if self._reasons:
            reasons = ", ".join(f"{count} x {reason}" for reason, count in self.counts.items())
            _log.warning(
                "skipped %d of %d samples: %s", len(self._reasons), len(self._source), reasons
            )

    def _name(self, index: int) -> str:
        try:
            return self._source.name(index)
        except Exception:  # naming a broken record must not hide that it is broken
            return f"sample {index}"


def require_usable(usable: int, total: int, counts: Mapping[str, int]) -> None:
    """Raises `ValueError` if no sample of `total` is usable; `counts` are the others by reason."""
    if usable == 0:
        reasons = ", ".join(f"{count} x {reason}" for reason, count in counts.items())
        raise ValueError(
            f"A data set must have a usable sample; of {total} none is"
            f"{f' ({reasons})' if reasons else ''}. The log names them; check the data."
        )


def check_limit(
    limit: float, total: int, counts: Mapping[str, int], names: Mapping[str, Sequence[str]]
) -> None:
    """Raises `ValueError`, see `over_limit`, if more than that share of `total` is unusable."""
    if sum(counts.values()) / total > limit:
        raise ValueError(over_limit(limit, total, counts, names))


def over_limit(
    limit: float, total: int, counts: Mapping[str, int], names: Mapping[str, Sequence[str]]
) -> str:
    """What an error says of too many unusable samples: their number by reason, the first names."""
    parts = [
        f"{count} x {reason} ({', '.join(names[reason][:_NAMED])}"
        f"{', ...' if count > _NAMED else ''})"
        for reason, count in counts.items()
    ]
    fix = "Mend the data"
    if set(counts) == {"missing caption"}:
        fix = "Name the column or field that has the captions ('DATA?caption=NAME')"
    return (
        f"At most a share of {limit:g} of a data set may be unusable; so far "
        f"{sum(counts.values())} of {total} samples are: {'; '.join(parts)}. {fix}, or raise "
        "--max-skipped."
    )
