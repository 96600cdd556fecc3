"""One program as many processes, each with its own devices: how they meet, and what they do as one.

Every process runs the same recipe. All of them compute and save; the first one alone writes
files, draws pictures and prints. What each of them decides by looking at the disk or at a clock is
decided by the first one, so that none waits for ever for what another does not do.
"""

import contextlib
import dataclasses
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from types import TracebackType

import jax
import numpy as np

from .interrupt import STOPPED

_UNREACHABLE = re.compile(
    r"Gloo|NCCL|UNAVAILABLE|DEADLINE_EXCEEDED|ABORTED|heartbeat|Connection|coordination service"
)
"""What the runtime's errors say when another process is gone."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cluster:
    """How this process finds the others. With nothing given, SLURM, Open MPI, a TPU slice and
    Kubernetes are asked, and where there is none of these the process is alone."""

    coordinator: str | None = None
    """HOST:PORT where the first process waits for the others; JAX_COORDINATOR_ADDRESS by
    default."""
    processes: int | None = None
    """How many there are; JAX_NUM_PROCESSES by default. 1 is this process alone, whatever the
    environment."""
    process_id: int | None = None
    """Number of this process, from 0; JAX_PROCESS_ID by default."""
    heartbeat: int = 30
    """Seconds of silence after which a process counts as dead, and the others end."""

    def join(self) -> None:
        """Meets the other processes. Before this no device may have been looked at.

        **Raises** `ValueError` for what cannot be, before anything is waited for.
        """
        given = self._given()
        if jax.distributed.is_initialized() or given[1] == 1:
            return
        coordinator, processes, process_id = given
        try:
            jax.distributed.initialize(
                coordinator, processes, process_id, heartbeat_timeout_seconds=self.heartbeat
            )
            sys.excepthook = _leave  # see `failing_at_once`
        except RuntimeError as error:
            # A recipe called by another that has trained already: alone then, alone now.
            if given != (None, None, None) or "must be called before" not in str(error):
                raise
        except ValueError as error:
            if given == (None, None, None) and "coordinator_address" in str(error):
                return  # no cluster: alone
            raise ValueError(
                "Processes need an address to meet at, their number and each its own: received "
                f"coordinator={coordinator}, processes={processes}, process_id={process_id}, and "
                f"no scheduler to ask for the rest ({error}). Give all three."
            ) from error

    def _given(self) -> tuple[str | None, int | None, int | None]:
        coordinator = self.coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS")
        processes = self._number("processes", "JAX_NUM_PROCESSES")
        process_id = self._number("process_id", "JAX_PROCESS_ID")
        if coordinator is not None and not re.fullmatch(r".+:\d{1,5}", coordinator):
            raise ValueError(
                f"A coordinator is HOST:PORT, received {coordinator!r}. Any free port of the first "
                "process's machine will do, such as 10.0.0.1:8476."
            )
        if processes is not None and processes < 1:
            raise ValueError(f"There is at least 1 process, received processes={processes}.")
        if process_id is not None and not 0 <= process_id < (processes or process_id + 1):
            raise ValueError(
                f"Processes are numbered from 0 to {(processes or 1) - 1}, received "
                f"process_id={process_id}. The first one's number is 0."
            )
        if self.heartbeat < 1:
            raise ValueError(f"A heartbeat takes at least 1 second, received {self.heartbeat}.")
        return coordinator, processes, process_id

    def _number(self, field: str, variable: str) -> int | None:
        value, text = getattr(self, field), os.environ.get(variable)
        if value is not None or text is None:
            return value
        if not text.isdecimal():
            raise ValueError(f"{variable} is a number, received {text!r}. Unset or correct it.")
        return int(text)


@contextlib.contextmanager
def failing_at_once() -> Iterator[None]:
    """With several processes, an error in this block ends the process there and then.

    On its way out it would wait for the others to come to the same barrier, and they for it. Now
    they notice: at once where the runtime sees a closed connection, else after the cluster's
    `heartbeat`, when JAX ends them with SIGABRT. The exit code is `STOPPED` if the error is that
    another process is gone, else 1.
    """
    try:
        yield
    except Exception as error:
        if jax.process_count() > 1:
            _leave(type(error), error, error.__traceback__)
        raise


def _leave(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    traceback.print_exception(kind, error, trace)
    lost = isinstance(error, jax.errors.JaxRuntimeError) and _UNREACHABLE.search(str(error))
    if lost:
        print(
            f"Process {jax.process_index()} of {jax.process_count()}: another process has died or "
            "cannot be reached. Launch all of them again, with --resume: training goes on from "
            "the last checkpoint.",
            file=sys.stderr,
        )
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(STOPPED if lost else 1)


def first_process() -> bool:
    """Whether this is the process that writes and prints."""
    return jax.process_index() == 0


def say(text: str) -> None:
    """Prints a line, once."""
    if first_process():
        print(text, flush=True)


def barrier(name: str) -> None:
    """Returns when every process has come to the barrier of that name."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def once(name: str, make: Callable[[], None]) -> None:
    """Calls `make` on the first process; the others wait until it is done, and see what it left."""
    if first_process():
        make()
    barrier(name)


def agreed(number: int | None) -> int | None:
    """The first process's `number`, on every process."""
    if jax.process_count() == 1:
        return number
    from jax.experimental import multihost_utils

    found = multihost_utils.broadcast_one_to_all(np.int64(-1 if number is None else number))
    return None if int(found) < 0 else int(found)
