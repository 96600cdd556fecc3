"""One program as many processes, each with its own devices: how they connect and stay together.

Every process runs the same recipe. All of them compute and save; only the first one writes files,
draws images and prints. The first one also makes every decision that depends on the disk or on a
clock, so that no process waits for ever for another that decided differently.
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
"""Words in the runtime's errors when another process is gone."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cluster:
    """How this process finds the others.

    Without any option SLURM, Open MPI, a TPU slice or Kubernetes supplies them. Where there is none
    of these, the process is alone.
    """

    coordinator: str | None = None
    """HOST:PORT where the first process waits for the others; JAX_COORDINATOR_ADDRESS by
    default."""
    processes: int | None = None
    """Number of processes; JAX_NUM_PROCESSES by default. 1 is this process alone, even under a
    scheduler."""
    process_id: int | None = None
    """Number of this process, from 0; JAX_PROCESS_ID by default."""
    heartbeat: int = 30
    """Seconds of silence after which a process counts as dead, and the others end."""

    def join(self) -> None:
        """Connects to the other processes. Call it before JAX looks for devices.

        **Raises** `ValueError` for options that cannot work, before it waits for anything.
        """
        coordinator, processes, process_id = options = self._options()
        if jax.distributed.is_initialized() or processes == 1:
            return
        try:
            jax.distributed.initialize(
                coordinator, processes, process_id, heartbeat_timeout_seconds=self.heartbeat
            )
            sys.excepthook = _leave  # see `abort_together`
        except RuntimeError as error:
            # A recipe called by another that has trained already, alone: this one is alone too.
            if options != (None, None, None) or "must be called before" not in str(error):
                raise
        except ValueError as error:
            if options == (None, None, None) and "coordinator_address" in str(error):
                return  # no cluster: alone
            raise ValueError(
                "Processes need a coordinator's address, their number and an id each: received "
                f"coordinator={coordinator}, processes={processes}, process_id={process_id}, and "
                f"no scheduler supplies the rest ({error}). Pass all three."
            ) from error

    def _options(self) -> tuple[str | None, int | None, int | None]:
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
def abort_together() -> Iterator[None]:
    """With several processes, an error in this block ends the process immediately.

    A normal exit would wait for the others at a barrier that they never reach. Instead they notice
    the loss: at once where the runtime sees a closed connection, else after the cluster's
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
            "cannot be reached. Launch all of them again, with --resume: training continues from "
            "the last checkpoint.",
            file=sys.stderr,
        )
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(STOPPED if lost else 1)


def first_process() -> bool:
    """Whether this is the process that writes files and prints."""
    return jax.process_index() == 0


def log(text: str) -> None:
    """Prints a line, on the first process only."""
    if first_process():
        print(text, flush=True)


def barrier(name: str) -> None:
    """Returns when every process has called this with the same name."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def on_first_process(name: str, make: Callable[[], None]) -> None:
    """Calls `make` on the first process. The others wait until it is done, and see its files."""
    if first_process():
        make()
    barrier(name)


def broadcast_from_first(number: int | None) -> int | None:
    """The first process's `number` (0 or more, or `None`), on every process."""
    if jax.process_count() == 1:
        return number
    from jax.experimental import multihost_utils

    first = int(multihost_utils.broadcast_one_to_all(np.int64(-1 if number is None else number)))
    return None if first < 0 else first
