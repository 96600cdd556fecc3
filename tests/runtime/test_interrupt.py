"""A process that is asked to end does so, wherever the signal reaches it."""

import json

from helpers import run_python

from equildm.runtime import STOPPED

PLACES = {
    "code": "os.kill(os.getpid(), signal.SIGTERM)",
    "garbage collection": """
def callback(phase, info):
    gc.callbacks.clear()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.01)

gc.callbacks.append(callback)
gc.collect()
""",
    "finaliser": """
class Dying:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)

Dying()
""",
}


FORKS = """
import gc, json, os, signal, sys, tempfile, time
from equildm.runtime import exit_on_sigterm

places, folder = json.loads(sys.argv[1]), sys.argv[2]
for place, code in places.items():
    if os.fork() == 0:
        exit_on_sigterm()
        with tempfile.TemporaryDirectory(dir=folder):
            exec(code)
            time.sleep(20)
        os._exit(0)
    _, status = os.wait()
    print(os.waitstatus_to_exitcode(status), os.listdir(folder), place)
"""
"""Each place in a fork of one process that has imported the library."""


def test_sigterm_ends_the_process_and_cleans_up(tmp_path):
    """Python ignores an exception that is raised in the last two."""
    printed = run_python(FORKS, json.dumps(PLACES), str(tmp_path), devices=1, timeout=60)
    assert printed.splitlines() == [f"{STOPPED} [] {place}" for place in PLACES]
