"""How much of a loop's time goes into waiting for data."""

import time
from collections.abc import Iterator
from typing import Any


class Waiting(Iterator[Any]):
    """Batches, and how much of the time since the second was spent on getting them."""

    def __init__(self, data: Iterator[Any]):
        self._data = data
        self._waited = 0.0
        self._since: float | None = None

    def __next__(self) -> Any:
        asked = time.perf_counter()
        batch = next(self._data)
        got = time.perf_counter()
        if self._since is None:
            self._since = got
        else:
            self._waited += got - asked
        return batch

    @property
    def position(self) -> int:
        """Of the data: the number of the next batch."""
        return getattr(self._data, "position", 0)

    def share(self) -> float:
        """Seconds spent waiting over seconds passed."""
        if self._since is None:
            return 0.0
        return self._waited / max(time.perf_counter() - self._since, 1e-9)
