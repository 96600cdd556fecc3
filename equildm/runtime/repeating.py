"""Work that is repeated in the background while a program does something else."""

import threading
from collections.abc import Callable
from typing import final


@final
class Repeating:
    """Calls `action` every so many seconds in a thread of its own, from `start` to `stop`.

    An error that the machine or the address is to blame for does not end it. `tell` hears of the
    first one of an outage.

    **Arguments:**

    - `action`: what is repeated.
    - `every`: seconds between two calls.
    - `tell`: takes the error.
    - `name`: of the thread.
    """

    def __init__(
        self,
        action: Callable[[], object],
        every: float,
        tell: Callable[[Exception], object],
        *,
        name: str,
    ):
        self._action, self._every, self._tell = action, every, tell
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._repeat, daemon=True, name=name)

    def start(self) -> None:
        """Begins, if it has not begun."""
        if not self._thread.is_alive():
            self._thread.start()

    def stop(self, *, wait: bool = False) -> None:
        """Ends it; with `wait` after a call that is under way."""
        self._stopping.set()
        if wait and self._thread.is_alive():
            self._thread.join()

    def _repeat(self) -> None:
        reachable = True
        while not self._stopping.wait(self._every):
            try:
                self._action()
                reachable = True
            except (ValueError, OSError) as error:
                if reachable:
                    self._tell(error)
                reachable = False
