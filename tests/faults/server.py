"""Runs `trained` many times, each in a fork of one process that has imported everything.

A line of standard input is JSON: the command line's words, and `faults_arm`'s values or null. The
answer is a line of JSON: the exit status and the number of counted calls.
"""

import ctypes
import json
import os
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import grain  # noqa: F401 (loaded here, once)
import orbax.checkpoint  # noqa: F401
import pyarrow.compute  # noqa: F401
import tensorboardX  # noqa: F401
import trained
from array_record.python import array_record_module  # noqa: F401

from equildm.data import segments
from equildm.runtime import run_command

segments._FIRST = segments._MOST = 8


def child(words: list[str], fault: list | None, out: str, count: int) -> None:
    """One run, with its outputs in a file."""
    file = os.open(out, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    library = ctypes.CDLL(None)
    sys.argv = ["trained.py", *words]
    status = 0
    root, *rest = fault
    library.faults_arm(root.encode(), *rest)
    try:
        run_command(trained.main, trained.Config)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        status = 99
    calls = library.faults_count()
    library.faults_arm(b"", 0, 0, 0)
    os.write(count, str(calls).encode())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


for line in sys.stdin:
    order = json.loads(line)
    source, sink = os.pipe()
    number = os.fork()
    if number == 0:
        os.close(source)
        child(order["words"], order["fault"], order["out"], sink)
    os.close(sink)
    _, status = os.waitpid(number, 0)
    calls = os.read(source, 64).decode()
    os.close(source)
    print(json.dumps({"code": os.waitstatus_to_exitcode(status), "calls": calls}), flush=True)
