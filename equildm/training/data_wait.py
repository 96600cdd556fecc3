"""How much of a loop's time goes into waiting for data."""

import time
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class DataWait(Iterator[T], Generic[T]):
    """An iterator of batches that measures the time spent waiting for them.

    The clock starts when the first batch has arrived: the time before it is start-up.
    """

    def __init__(self, data: Iterator[T]):
        self._data = data
        self._waited = 0.0
        self._start: float | None = None

    def __next__(self) -> T:
        requested = time.perf_counter()
        batch = next(self._data)
        arrived = time.perf_counter()
        if self._start is None:
            self._start = arrived
        else:
            self._waited += arrived - requested
        return batch

    @property
    def position(self) -> int:
        """The number of the next batch, as the data counts."""
        return getattr(self._data, "position", 0)

    def share(self) -> float:
        """The time spent waiting, as a share of the time since the first batch arrived."""
        if self._start is None:
            return 0.0
        return self._waited / max(time.perf_counter() - self._start, 1e-9)
