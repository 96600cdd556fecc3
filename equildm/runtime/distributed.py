"""One program as many processes, each with its own devices: how they stay together.

Every process runs the same recipe. All of them compute and save; only the first one writes files,
draws images and prints. The first one also makes every decision that depends on the disk or on a
clock, so that no process waits for ever for another that decided differently.
"""

import contextlib
import os
import re
import sys
import traceback
from collections.abc import Iterator
from types import TracebackType

import jax

from .ending import end_now, leave, process_number
from .interrupt import STOPPED

_UNREACHABLE = re.compile(
    r"Gloo|NCCL|UNAVAILABLE|DEADLINE_EXCEEDED|ABORTED|heartbeat|Connection|coordination service"
)
"""Words in the runtime's errors when another process is gone."""


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
            leave_others(type(error), error, error.__traceback__)
        raise


def leave_others(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Ends this process with an error, so that the others do not wait for it: an `excepthook`."""
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
