import io
import os
import pty
import re
import signal
import subprocess
import sys

import helpers
import pytest

from equildm.runtime import Interrupt, Progress


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr("equildm.runtime.progress.time", clock)
    return clock


def test_lines_in_a_log_file(clock):
    out = io.StringIO()
    with Progress(1000, start=100, label="training", batch=8, stream=out) as progress:
        assert progress.rate is None
        for done in range(101, 151):
            progress.update(done, loss=1 / done)
            clock.now += 0.5
        progress.print("saved")
    lines = out.getvalue().splitlines()
    assert lines[0] == "training 101/1000 steps, loss 0.009901"
    # One every 10 seconds, then what was printed and the end.
    assert [re.search(r"\d+/1000", line).group() for line in lines if "/1000" in line] == [
        "101/1000",
        "121/1000",
        "141/1000",
        "150/1000",
    ]
    assert lines[1] == (
        "training 121/1000 steps, 2 steps/s, 16 examples/s, loss 0.008264, 0:07:20 left"
    )
    assert lines[-2] == "saved"


def test_rate_is_of_late_and_leaves_out_the_start(clock):
    progress = Progress(1000, stream=io.StringIO())
    clock.now += 60  # compiling
    for done in range(1, 41):
        progress.update(done)
        clock.now += 1
    assert progress.rate == 1
    for done in range(41, 401):
        progress.update(done)
        clock.now += 0.1
    assert progress.rate == pytest.approx(10, rel=0.05)


TERMINAL = """
import sys, time
from equildm.runtime import Progress
with Progress(20, label="training") as progress:
    for i in range(20):
        time.sleep(0.02)
        progress.update(i + 1, loss=0.5)
    progress.print("[saved]")
"""


def test_a_bar_on_a_terminal():
    ours, theirs = pty.openpty()
    env = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(helpers.ROOT), "TERM": "xterm"}
    code = [sys.executable, "-c", TERMINAL]
    process = subprocess.Popen(code, cwd=helpers.ROOT, env=env, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert process.wait() == 0
    text = shown.decode()
    assert "━" in text and "20/20 steps" in text and "loss 0.5" in text and "[saved]" in text


def test_interrupt_asks_first_and_insists_then():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interrupt() as interrupt:
        assert not interrupt.requested
        signal.raise_signal(signal.SIGINT)
        assert interrupt.requested and interrupt.received == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    with Interrupt() as interrupt:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)  # schedulers repeat themselves
        assert interrupt.requested and interrupt.received == signal.SIGTERM
    with pytest.raises(RuntimeError), Interrupt([signal.SIGTERM]):
        assert signal.getsignal(signal.SIGINT) == before[0]
        raise RuntimeError
    assert signal.getsignal(signal.SIGTERM) == before[1]
