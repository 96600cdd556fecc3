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
    for module in ("progress", "work_clock"):
        monkeypatch.setattr(f"equildm.runtime.{module}.time", clock)
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


def left(progress):
    """The time left as it is shown, None where it is not."""
    shown = re.search(r"(\d+):(\d\d):(\d\d) left", progress.status())
    return None if shown is None else sum(60**i * int(shown[3 - i]) for i in range(3))


def test_a_burst_is_one_moment(clock):
    """Metrics that are fetched late arrive together, also at the end of a short run."""
    progress = Progress(20, batch=4, stream=io.StringIO())
    progress.update(1)
    for last in (8, 18, 20):
        clock.now += 0.2 * (last - progress.done)
        for done in range(progress.done + 1, last + 1):
            progress.update(done, loss=0.5)
            clock.now += 1e-4
    assert progress.rate == pytest.approx(5, rel=0.01)
    assert "5 steps/s, 20 examples/s" in progress.status() and left(progress) is None


def test_only_a_burst_tells_no_rate(clock):
    progress = Progress(1000, start=300, stream=io.StringIO())
    clock.now += 60
    for done in range(301, 311):  # at once after a resume
        progress.update(done)
        clock.now += 1e-4
    assert progress.rate is None and "left" not in progress.status()
    clock.now += 0.4
    progress.update(311)
    assert progress.rate and left(progress) is None  # too early to tell
    for done in range(312, 321):
        clock.now += 0.5
        progress.update(done)
    assert left(progress) == pytest.approx(680 / 2, rel=0.05)


def test_pauses_are_no_work_and_count_for_the_time_left(clock):
    progress = Progress(1000, stream=io.StringIO())
    progress.update(0)
    for done in range(1, 501):
        clock.now += 0.1
        progress.update(done)
        if done % 100 == 0:
            with progress.pause("preview"), progress.pause("inside"):
                assert progress.status().endswith("inside")
                clock.now += 300 if done == 100 else 5
            assert "preview" not in progress.status()
    assert progress.rate == pytest.approx(10)
    assert left(progress) == 70  # 50 of work and 20 of previews, as so far but for the first


def test_a_log_file_tells_of_long_pauses_before_and_after_them(clock):
    out = io.StringIO()
    progress = Progress(1000, label="training", stream=out)
    progress.update(1)
    for seconds in (26, 24, 1, 1, 5):
        with progress.pause("validating"):
            clock.now += seconds
    assert out.getvalue().splitlines() == [
        "training 1/1000 steps",
        *("training 1/1000 steps, validating", "training validating took 26 s"),
        *("training 1/1000 steps, validating", "training validating took 24 s"),
        "training 1/1000 steps, validating",  # it was long the last time
        "training validating took 5 s",
    ]


def test_a_machine_that_slept_does_not_slow_the_rate(clock):
    progress = Progress(1000, stream=io.StringIO())
    for done in range(1, 101):
        progress.update(done)
        clock.now += 0.5
    clock.now += 3600
    progress.update(101)
    assert progress.rate is None and left(progress) is None
    for done in range(102, 106):
        clock.now += 0.5
        progress.update(done)
    assert progress.rate == pytest.approx(2) and left(progress) == pytest.approx(895 / 2, abs=1)


def test_pauses_before_a_gap_do_not_make_the_time_left_longer(clock):
    progress = Progress(10_000, stream=io.StringIO())
    for done in range(1, 1001):
        progress.update(done)
        clock.now += 0.5
        if done % 100 == 0:
            with progress.pause("preview"):
                clock.now += 5  # a tenth of the time
    clock.now += 3600
    for done in range(1001, 1011):
        progress.update(done)
        clock.now += 0.5
    assert left(progress) == pytest.approx(8990 / 2 * 1.1, rel=0.02)


def test_compiling_in_the_middle_is_no_work(clock):
    progress = Progress(1000, stream=io.StringIO())
    for done in range(1, 5):
        progress.update(done)
        clock.now += 0.5
    progress.wait_for("compiling")
    clock.now += 25
    for done in range(5, 10):
        progress.update(done)
        clock.now += 0.5
    assert progress.rate == pytest.approx(2) and left(progress) == pytest.approx(991 / 2, abs=1)


def test_slow_steps_are_no_pause(clock):
    progress = Progress(100, stream=io.StringIO())
    for done in range(1, 11):
        progress.update(done)
        clock.now += 100
    assert progress.rate == pytest.approx(0.01) and left(progress) == 9000


def test_what_is_waited_for_is_said(clock):
    out = io.StringIO()
    progress = Progress(1000, start=300, label="training", stream=out)
    progress.wait_for("compiling")
    progress.update(301)
    assert out.getvalue().splitlines() == [
        "training 300/1000 steps, compiling",
        "training 301/1000 steps",
    ]


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
