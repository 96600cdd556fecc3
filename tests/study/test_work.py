"""Processes that share a folder: no unit is done twice, none is lost, whoever is killed and
when."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
from helpers import ROOT

from equildm.study import Claims, RowFiles, share_work, write_table

WORKER = """
import sys, time, zlib
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
from equildm.study import Claims, RowFiles, share_work
from study_tables import make_row

folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
units = {{f"c032_{{i:08d}}_ddim_008_w3_s0": i for i in range(24)}}
rows = RowFiles(folder / "rows")
log = open(folder / "log", "a", buffering=1)

def note(what, unit):
    log.write(f"{{what}} {{unit}}\\n")

def begin(unit):
    note("begin", unit)
    time.sleep(seconds)  # the device
    def finish():
        time.sleep(seconds / 2)  # the host
        # Any name will do for the run: a row's own name is its point's.
        rows.write(make_row(run="c032", train_step=units[unit], fid=float(zlib.crc32(unit.encode())
        % 100))) note("done", unit)
    return finish

print("ready", flush=True)
with Claims(folder / "claims", stale=30) as claims:
    share_work(list(units), claims=claims, is_done=rows.__contains__, begin=begin, wait=0.02)
"""


def start(folder, seconds=0.02):
    code = WORKER.format(root=str(ROOT), tests=str(ROOT / "tests"))
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )


def table(folder):
    rows = RowFiles(folder / "rows").read()
    write_table(folder / "table.parquet", rows)
    return (folder / "table.parquet").read_bytes()


def events(folder):
    return [line.split() for line in (folder / "log").read_text().splitlines()]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    process = start(folder, 0.0)
    assert process.wait(120) == 0
    assert [what for what, _ in events(folder)].count("done") == 24
    return table(folder)


def test_two_processes_share_the_work(uninterrupted, tmp_path):
    both = [start(tmp_path), start(tmp_path)]
    assert [process.wait(120) for process in both] == [0, 0]
    begun = [unit for what, unit in events(tmp_path) if what == "begin"]
    assert len(begun) == len(set(begun)) == 24
    assert table(tmp_path) == uninterrupted
    assert list((tmp_path / "claims").iterdir()) == []


def test_ten_kills_at_random_change_nothing(uninterrupted, tmp_path):
    """Two processes, of which one is killed at a random moment ten times and started again."""
    chance = random.Random(0)
    processes = [start(tmp_path, 0.15), start(tmp_path, 0.15)]
    kills = 0
    while kills < 10:
        victim = chance.randrange(2)
        processes[victim].stdout.readline()  # "ready": what is killed is work, not the imports
        time.sleep(chance.uniform(0.0, 0.4))
        if processes[victim].poll() is not None:
            break  # all was done before the tenth
        processes[victim].kill()
        processes[victim].wait()
        kills += 1
        processes[victim] = start(tmp_path, 0.15)
    assert [process.wait(120) for process in processes] == [0, 0]
    assert kills == 10

    seen = events(tmp_path)
    done: set[str] = set()
    for what, unit in seen:
        assert unit not in done, f"{what} {unit} after it was done"
        if what == "done":
            done.add(unit)
    # A kill loses no more than what was under way: one unit on the device and one on the host.
    assert sum(what == "begin" for what, _ in seen) <= 24 + 2 * kills
    assert table(tmp_path) == uninterrupted


def test_a_dead_owner_on_this_machine_is_known_at_once(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from equildm.study import Claims\n"
        f"Claims({str(tmp_path)!r}, stale=1000).take('unit')\nprint('taken', flush=True)\ninput()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout.readline() == "taken\n"
    with Claims(tmp_path, stale=1000) as claims:
        assert not claims.take("unit") and claims.others() == 1
        owner.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 30
        while claims.others() and time.monotonic() < deadline:  # it may stay a zombie: not reaped
            time.sleep(0.01)
        assert claims.take("unit") and claims.others() == 0
        assert sorted(p.name for p in tmp_path.glob("unit.*")) == ["unit.0", "unit.1"]
        claims.settle("unit")
        assert list(tmp_path.glob("unit.*")) == []
    owner.wait()


def elsewhere(folder, unit, age):
    """A claim of another machine, last touched `age` seconds ago."""
    path = folder / f"{unit}.0"
    path.write_text(json.dumps({"owner": "x", "machine": "elsewhere", "pid": 1, "start": "1"}))
    now = time.time()
    os.utime(path, (now - age, now - age))


@pytest.mark.parametrize("content", [None, "", "{"])
def test_an_owner_elsewhere_is_dead_when_it_is_silent(tmp_path, content):
    with Claims(tmp_path, stale=60) as claims:
        elsewhere(tmp_path, "fresh", 5)
        elsewhere(tmp_path, "silent", 100)
        for unit, age in (("fresh", 5), ("silent", 100)):
            if content is not None:  # killed before it wrote who it was
                path, at = tmp_path / f"{unit}.0", time.time() - age
                path.write_text(content)
                os.utime(path, (at, at))
        assert not claims.take("fresh")
        assert claims.take("silent")


def test_of_many_that_see_a_death_one_takes_over(tmp_path):
    elsewhere(tmp_path, "unit", 100)
    everyone = [Claims(tmp_path, stale=60) for _ in range(8)]
    barrier, taken = threading.Barrier(8), []

    def rush(claims):
        barrier.wait()
        taken.append(claims.take("unit"))

    threads = [threading.Thread(target=rush, args=(claims,)) for claims in everyone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False] * 7 + [True]


def test_a_living_owner_shows_it(tmp_path):
    with Claims(tmp_path, stale=0.6) as claims:
        claims.take("unit")
        before = (tmp_path / "unit.0").stat().st_mtime
        time.sleep(0.5)
        assert (tmp_path / "unit.0").stat().st_mtime > before
    assert not (tmp_path / "unit.0").exists()  # given back


def test_an_error_gives_claims_back_and_loses_nothing_that_was_done(tmp_path):
    done = []

    def begin(unit):
        if unit == "c":
            raise RuntimeError("out of memory")
        return lambda: done.append(unit)

    with pytest.raises(RuntimeError, match="memory"), Claims(tmp_path) as claims:
        share_work(list("abcd"), claims=claims, is_done=done.__contains__, begin=begin)
    assert done == ["a", "b"] and list(tmp_path.iterdir()) == []
    with Claims(tmp_path) as claims:
        share_work(list("abcd"), claims=claims, is_done=done.__contains__, begin=lambda u: (lambda:
    done.append(u))) assert done == list("abcd")


def test_the_host_part_of_one_runs_beside_the_device_part_of_the_next(tmp_path):
    done, beside = [], threading.Event()

    def begin(unit):
        if unit == "b":
            beside.set()

        def finish():
            assert unit != "a" or beside.wait(10)
            done.append(unit)

        return finish

    with Claims(tmp_path) as claims:
        share_work(["a", "b"], claims=claims, is_done=done.__contains__, begin=begin)
    assert done == ["a", "b"]
