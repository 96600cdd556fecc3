"""Real processes that wait for each other: what they say, and how they end."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

import pytest
from helpers import free_port, ROOT, run_together

from equildm.runtime import STOPPED
from equildm.runtime.waiting import numbered

START = """
import os, signal, sys, time
from functools import partial
import jax
from equildm.runtime import *
port, of, me = map(int, sys.argv[1:4])
exit_on_sigterm()
jax.distributed.initialize = partial(jax.distributed.initialize, shutdown_timeout_seconds=5)
Cluster(coordinator=f"127.0.0.1:{port}", processes=of, process_id=me, heartbeat=20).join()
"""


class Launched:
    """A process whose lines are read as they come."""

    def __init__(self, code: str, port: int, of: int, me: int):
        own = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1", "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", code, str(port), str(of), str(me)],
            cwd=ROOT,
            env=os.environ | own,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines += [""]
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def until(self, words: str, seconds: float = 240) -> float:
        """Waits until it prints these words. Returns how long that took."""
        began = time.monotonic()
        while words not in self.text:
            assert time.monotonic() < began + seconds, f"no {words!r} in:\n{self.text}"
            time.sleep(0.02)
        return time.monotonic() - began

    def end(self, seconds: float = 240) -> int:
        code = self.process.wait(timeout=seconds)
        self._reader.join(timeout=5)
        return code

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(timeout=5)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def launch():
    """Starts processes of one program; kills what is left of them."""
    started: list[Launched] = []

    def together(code: str, *, of: int = 2, only: Sequence[int] | None = None):
        port = free_port()
        ranks = range(of) if only is None else only
        new = [Launched(START + code, port, of, rank) for rank in ranks]
        started.extend(new)
        return new

    yield together
    for one in started:
        one.kill()


LAST = """
if me == 1:
    time.sleep(1.5)
    open(sys.argv[4], "w").close()
barrier("files")
assert os.path.exists(sys.argv[4])
"""


def test_a_barrier_waits_for_the_last_and_its_name_may_come_again(tmp_path):
    """And numbers are those of the first process."""
    code = """
for turn in range(20):
    barrier("a name / with ünusual letters")
    assert broadcast_from_first(turn if me == 0 else None) == turn
    assert broadcast_from_first(None if me == 0 else turn) is None
written = []
on_first_process("written", lambda: written.append(me))
assert written == ([0] if me == 0 else [])
"""
    port, path = str(free_port()), str(tmp_path / "file")
    code = START + code + LAST
    run_together([["-c", code, port, "3", str(rank), path] for rank in range(3)])


@pytest.mark.slow  # 25 s of waiting
def test_long_work_of_the_first_process_ends_nobody(launch):
    """Nor does that at its end, where JAX's own barrier has 5 s here. One speaks for all."""
    code = """
on_first_process("the report", lambda: time.sleep(20))
print("after", broadcast_from_first(me))
if me == 0:
    time.sleep(12)
"""
    first, second, third = launch(code, of=3)
    second.until("has waited 10 s for process 0 at 'the report'.")
    for process in (first, second, third):
        assert process.end() == 0 and "after 0" in process.text, process.text
    assert "has waited 10 s for process 0 at the end of the program." in second.text
    assert "has waited" not in third.text + first.text


def test_sigterm_to_one_ends_all_that_wait(launch):
    code = """
print("ready", flush=True)
if me == 2:
    time.sleep(1000)
barrier("never")
"""
    first, second, third = launch(code, of=3)
    for process in (first, second, third):
        process.until("ready")
    time.sleep(1)
    second.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert second.end(10) == STOPPED, second.text
    assert time.monotonic() - began < 4  # a second; more on a busy machine
    assert first.end(10) == STOPPED, first.text  # it had the store, and let the others read it
    assert "SIGTERM came while it waited for process 2 at 'never'" in first.text
    assert "Launch all of them again, with --resume." in second.text


@pytest.mark.slow
def test_ctrl_c_ends_a_wait_and_the_others_hear_of_it(launch):
    code = """
print("ready", flush=True)
if me == 0:
    time.sleep(3)
barrier("never" if me else "another")
"""
    first, second = launch(code)
    second.until("ready")
    time.sleep(0.5)
    second.process.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert second.end(10) in (1, 130), second.text
    assert time.monotonic() - began < 4
    assert first.end(20) == STOPPED
    assert "process 1" in first.text and "does not come to 'another'" in first.text


@pytest.mark.slow
@pytest.mark.parametrize("error", ["RuntimeError", "ValueError"])
def test_an_error_of_one_ends_the_others(launch, error):
    """Whether it ends with a traceback or, from a recipe, with a line."""
    code = f"""
import dataclasses
from equildm.runtime import run_command

@dataclasses.dataclass(frozen=True)
class Config:
    pass

def main(config):
    def fail():
        time.sleep(2)
        raise {error}("the disk is upside down")
    on_first_process("the report", fail)

sys.argv = ["recipe.py"]
run_command(main, Config)
"""
    first, second = launch(code)
    assert second.end() == STOPPED, second.text
    assert "process 0" in second.text and "does not come to 'the report'" in second.text
    assert first.end() == 1 and "the disk is upside down" in first.text


@pytest.mark.slow
def test_all_that_fail_alike_say_so(launch):
    code = """
from equildm.runtime import command
sys.argv = ["recipe.py"]
time.sleep(me)
command._end("options that cannot work", 1)
"""
    for process in launch(code, of=3):
        assert process.end() == 1 and "options that cannot work" in process.text, process.text


@pytest.mark.slow
def test_a_process_that_ended_is_not_waited_for(launch):
    first, second = launch("if me == 0: barrier('alone')")
    assert first.end() == STOPPED
    assert "process 1 has ended, and does not come to 'alone'" in first.text
    second.end()


@pytest.mark.slow  # the heartbeat's 20 s
def test_a_killed_process_is_noticed(launch):
    code = """
print("ready", flush=True)
if me == 1:
    time.sleep(1000)
barrier("never")
"""
    first, second = launch(code)
    second.until("ready")
    second.process.kill()
    assert first.end(60) == -signal.SIGABRT
    assert "has waited 10 s for process 1 at 'never'." in first.text


@pytest.mark.slow  # 12 s of waiting
def test_connecting_says_what_it_waits_for(launch):
    (first,) = launch("", only=[0])
    (second,) = launch("", only=[1])  # another port: nobody listens
    first.until("Process 0 of 2 has waited 10 s to be connected: not all of the others")
    second.until("Process 1 of 2 has waited 10 s to be connected: process 0 does not answer at")
    first.process.send_signal(signal.SIGTERM)
    second.process.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert first.end(10) == STOPPED and second.end(10) in (1, 130)
    assert time.monotonic() - began < 3


def test_connecting_has_a_time_limit(launch):
    code = "raise AssertionError"
    text = START.replace("heartbeat=20", "connect_timeout=3") + code
    process = Launched(text, free_port(), 2, 1)
    try:
        assert process.end() == 1
    finally:
        process.kill()
    assert "connects to the others within 3 s, and process 0 does not answer at" in process.text
    assert "or raise --connect-timeout" in process.text


def test_names_of_processes():
    assert numbered([3]) == "process 3"
    assert numbered([1, 2, 5]) == "processes 1, 2 and 5"
    assert numbered(range(1, 64)) == "63 processes, of which 1 is the first"
