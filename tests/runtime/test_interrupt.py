"""A process that is asked to end does so, wherever the signal reaches it."""

import subprocess
import sys

import pytest

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


@pytest.mark.parametrize("place", PLACES)
def test_sigterm_ends_the_process_and_cleans_up(tmp_path, place):
    """Python ignores an exception that is raised in the last two."""
    lines = ["import gc, os, signal, tempfile, time", "from equildm.runtime import exit_on_sigterm"]
    body = [*PLACES[place].strip().splitlines(), "time.sleep(20)"]
    lines += ["exit_on_sigterm()", f"with tempfile.TemporaryDirectory(dir={str(tmp_path)!r}):"]
    script = "\n".join([*lines, *(f"    {line}" for line in body)])
    done = subprocess.run([sys.executable, "-c", script], timeout=60, capture_output=True)
    assert done.returncode == STOPPED, done.stderr.decode()
    assert list(tmp_path.iterdir()) == []
