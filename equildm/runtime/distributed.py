"""One program as many processes, each with its own devices: how they connect and stay together.

Every process runs the same recipe. All of them compute and save; only the first one writes files,
draws images and prints. The first one also makes every decision that depends on the disk or on a
clock, so that no process waits for ever for another that decided differently.
"""

import atexit
import contextlib
import dataclasses
import os
import re
import sys
import traceback
from collections.abc import Iterator
from types import TracebackType

import jax

from .connecting import connect
from .ending import end_now, leave, process_number
from .interrupt import STOPPED
from .waiting import end_together

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
    connect_timeout: int = 300
    """Seconds to wait at the start for the others to connect; then it is an error."""

    def join(self) -> None:
        """Connects to the other processes. Call it before JAX looks for devices.

        While it waits for them it says so, after 10 seconds and then every 30; ctrl-C and SIGTERM
        end it. At the normal end of the program each process waits for the others as well.

        **Raises** `ValueError` for options that cannot work, before it waits for anything, and
        `TimeoutError` if the others have not connected after `connect_timeout` seconds.
        """
        coordinator, processes, process_id = options = self._options()
        if jax.distributed.is_initialized() or processes == 1:
            return
        try:
            connect(
                coordinator,
                processes,
                process_id,
                heartbeat=self.heartbeat,
                timeout=self.connect_timeout,
            )
            sys.excepthook = _leave  # see `abort_together`
            atexit.register(end_together)
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
        if self.connect_timeout < 1:
            raise ValueError(
                "Processes wait at least 1 second for each other, received --connect-timeout "
                f"{self.connect_timeout}. Use 300."
            )
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

    A normal exit would wait for the others, which never come. Instead they notice the loss: at once
    where they wait for this process at a `barrier` or the runtime sees a closed connection, else
    after the cluster's `heartbeat`, when JAX ends them with SIGABRT. The exit code is `STOPPED` if
    the error is that another process is gone, else 1.
    """
    try:
        yield
    except Exception as error:
        if process_number()[1] > 1:
            _leave(type(error), error, error.__traceback__)
        raise


def _leave(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    traceback.print_exception(kind, error, trace)
    lost = isinstance(error, jax.errors.JaxRuntimeError) and _UNREACHABLE.search(str(error))
    if lost:
        me, of = process_number()
        print(
            f"Process {me} of {of}: another process has died or "
            "cannot be reached. Launch all of them again, with --resume: training continues from "
            "the last checkpoint.",
            file=sys.stderr,
        )
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(STOPPED)
    leave(1, "failed")
    end_now(1)


def first_process() -> bool:
    """Whether this is the process that writes files and prints."""
    return process_number()[0] == 0


def log(text: str) -> None:
    """Prints a line, on the first process only."""
    if first_process():
        print(text, flush=True)
