"""How the processes of one program find each other, as options."""

import atexit
import dataclasses
import os
import re
import sys
from typing import ClassVar


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cluster:
    """How this process finds the others.

    Without any option SLURM, Open MPI, a TPU slice or Kubernetes supplies them. Where there is none
    of these, the process is alone.
    """

    GROUPS: ClassVar = {
        "processes": ("coordinator", "processes", "process_id", "heartbeat", "connect_timeout")
    }

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
        import jax

        from .connecting import connect
        from .distributed import leave_others
        from .waiting import end_together

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
            sys.excepthook = leave_others  # see `abort_together`
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
