"""How long a sweep still takes."""

import time
from collections.abc import Callable, Collection, Hashable, Mapping

import numpy as np
from scipy.optimize import nnls


class SweepForecast:
    """Fits the seconds of a point to its operations, and adds what is left up.

    A point takes some seconds whatever it is, for its scores, and more by its operations. The first
    point of each program takes its compiling as well. A rate of operations alone would be wrong by
    the order of the grid: small points come first, and are mostly the former.
    """

    def __init__(
        self,
        work: Mapping[str, float],
        program_of: Mapping[str, Hashable],
        clock: Callable[[], float] = time.monotonic,
    ):
        """**Arguments:**

        - `work`: operations of each point, by its name.
        - `program_of`: the program that samples a point: points of the same one compile once.
        - `clock`: seconds.
        """
        self._work, self._program_of, self._clock = work, program_of, clock
        self._compiled: dict[Hashable, float] = {}
        self._points: list[tuple[float, float]] = []
        self._current: tuple[str, float, float] | None = None

    def begin(self, name: str) -> None:
        """A point begins, and the one before it is over."""
        self.end()
        self._current = name, self._clock(), 0.0

    def compiled(self, seconds: float) -> None:
        """So many seconds of the point that began went into its program."""
        assert self._current is not None
        name, start, _ = self._current
        self._current = name, start, seconds
        self._compiled[self._program_of[name]] = seconds

    def end(self) -> None:
        """The point that began is over."""
        if self._current is not None:
            (name, start, compiling), self._current = self._current, None
            self._points.append((self._work[name], self._clock() - start - compiling))

    def left(self, done: Collection[str], processes: int = 1) -> float | None:
        """Seconds until all points are done; None before two of them are.

        **Arguments:**

        - `done`: names of the points that are done, by whichever process.
        - `processes`: that share the points that are left.
        """
        if len(self._points) < 2:
            return None
        work, seconds = np.array(self._points).T
        largest = max(work.max(), 1.0)
        (each, rate), _ = nnls(np.stack([np.ones_like(work), work / largest], 1), seconds)
        names = [name for name in self._work if name not in done]
        programs = {self._program_of[name] for name in names} - set(self._compiled)
        compiling = float(np.mean([*self._compiled.values()])) if self._compiled else 0.0
        points = sum(each + rate * self._work[name] / largest for name in names)
        return float(points + compiling * len(programs)) / processes
