"""A process that forks workers of a pretended sweep: they share a folder and can be killed.

Imports take seconds and forks do not. Reads `FOLDER SECONDS` and answers with the new worker's
number; reads `wait NUMBER` and answers with its exit code.
"""

import os
import sys
import time
import zlib
from pathlib import Path

from study_tables import make_row

from equildm.runtime import Locks
from equildm.study import RowFiles, share_work

UNITS = {f"c032_{i:08d}_ddim_008_w3_s0": i for i in range(24)}


def work(folder, seconds):
    """Does all units, each in `seconds` on the device and half of that on the host."""
    rows = RowFiles(folder / "rows")
    log = open(folder / "log", "a", buffering=1)  # noqa: SIM115 (a kill closes it)

    def begin(unit):
        log.write(f"begin {unit}\n")
        time.sleep(seconds)

        def finish():
            time.sleep(seconds / 2)
            fid = float(zlib.crc32(unit.encode()) % 100)
            rows.write(make_row(run="c032", train_step=UNITS[unit], fid=fid))
            log.write(f"done {unit}\n")

        return finish

    with Locks(folder / "locks", stale=30.0) as locks:
        share_work(list(UNITS), locks=locks, is_done=rows.__contains__, begin=begin, wait=0.02)


def main():
    make_row()  # counts operations, once
    for line in sys.stdin:
        command, argument = line.split()
        if command == "wait":
            answer = os.waitstatus_to_exitcode(os.waitpid(int(argument), 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                code = 1
                try:
                    work(Path(command), float(argument))
                    code = 0
                finally:
                    os._exit(code)
        print(answer, flush=True)


if __name__ == "__main__":
    main()
