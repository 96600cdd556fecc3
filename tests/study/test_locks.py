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
from study_worker import UNITS

from equildm.runtime import Locks
from equildm.study import RowFiles, share_work, write_table


class Workers:
    """Starts, kills and awaits workers by `study_worker`."""

    def __init__(self, process):
        self._process = process

    def _ask(self, line):
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def start(self, folder, seconds):
        return self._ask(f"{folder} {seconds}")

    def wait(self, worker):
        return self._ask(f"wait {worker}")


@pytest.fixture(scope="module")
def workers():
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    with subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "study_worker.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": paths},
    ) as process:
        yield Workers(process)
        process.stdin.close()


def table(folder):
    rows = RowFiles(folder / "rows").read()
    write_table(folder / "table.parquet", rows)
    return (folder / "table.parquet").read_bytes()


def events(folder):
    return [line.split() for line in (folder / "log").read_text().splitlines()]


@pytest.fixture(scope="module")
def uninterrupted(workers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    assert workers.wait(workers.start(folder, 0.0)) == 0
    assert [what for what, _ in events(folder)].count("done") == 24
    return table(folder)


def test_two_processes_share_the_work(workers, uninterrupted, tmp_path):
    both = [workers.start(tmp_path, 0.03), workers.start(tmp_path, 0.03)]
    assert [workers.wait(worker) for worker in both] == [0, 0]
    begun = [unit for what, unit in events(tmp_path) if what == "begin"]
    assert len(begun) == len(set(begun)) == 24
    assert table(tmp_path) == uninterrupted
    assert list((tmp_path / "locks").iterdir()) == []


@pytest.mark.parametrize("seed", range(3))
def test_ten_kills_at_random_change_nothing(workers, uninterrupted, tmp_path, seed):
    """Two processes, one of which is killed (-9) at random and started again, ten times."""
    chance = random.Random(seed)
    running = [workers.start(tmp_path, 0.15), workers.start(tmp_path, 0.15)]
    for _ in range(10):
        time.sleep(chance.uniform(0.0, 0.25))
        victim = chance.randrange(2)
        os.kill(running[victim], signal.SIGKILL)
        workers.wait(running[victim])
        running[victim] = workers.start(tmp_path, 0.15)
    assert len(RowFiles(tmp_path / "rows").names()) < 24  # all the kills were before the end
    assert [workers.wait(worker) for worker in running] == [0, 0]

    done: set[str] = set()
    for what, unit in events(tmp_path):
        assert unit not in done, f"{what} {unit} after it was done"
        if what == "done":
            done.add(unit)
    begun = sum(what == "begin" for what, _ in events(tmp_path))
    # A kill loses no more than what was under way: one unit on the device and one on the host.
    assert 24 <= begun <= 24 + 2 * 10
    assert table(tmp_path) == uninterrupted


def test_a_dead_owner_on_this_machine_is_known_at_once(workers, tmp_path):
    owner = workers.start(tmp_path, 300.0)
    folder, unit = tmp_path / "locks", next(iter(UNITS))
    with Locks(folder, stale=1000.0) as locks:
        while not locks.others():
            time.sleep(0.01)
        assert not locks.acquire(unit)
        os.kill(owner, signal.SIGKILL)
        while locks.others():  # not reaped: it stays a zombie
            time.sleep(0.01)
        assert locks.acquire(unit)
        assert sorted(p.name for p in folder.glob("c0*")) == [f"{unit}.0", f"{unit}.1"]
        locks.clear(unit)
        assert list(folder.glob("c0*")) == []
    assert workers.wait(owner) == -signal.SIGKILL


def elsewhere(folder, unit, age):
    """A lock of another machine, last touched `age` seconds ago."""
    path = folder / f"{unit}.0"
    path.write_text(json.dumps({"owner": "x", "machine": "elsewhere", "pid": 1, "start": "1"}))
    now = time.time()
    os.utime(path, (now - age, now - age))


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"owner": "x"}', "no pid"])
def test_an_owner_elsewhere_is_dead_when_it_is_silent(tmp_path, content):
    with Locks(tmp_path, stale=60.0) as locks:
        if content == "no pid":  # of this very machine
            assert locks.acquire("own")
            content = (tmp_path / "own.0").read_text().replace('"pid"', '"peer"')
            locks.release("own")
        elsewhere(tmp_path, "fresh", 5)
        elsewhere(tmp_path, "silent", 100)
        for unit, age in (("fresh", 5), ("silent", 100)):
            if content is not None:  # killed before it wrote who it was
                path, at = tmp_path / f"{unit}.0", time.time() - age
                path.write_text(content)
                os.utime(path, (at, at))
        assert not locks.acquire("fresh")
        assert locks.acquire("silent")


def test_a_lock_has_its_content_from_the_first_moment(tmp_path, monkeypatch):
    def linked(source, target):
        assert json.loads(source.read_text())["pid"] == os.getpid() and not target.exists()
        link(source, target)

    link = os.link
    monkeypatch.setattr(os, "link", linked)
    with Locks(tmp_path) as locks, Locks(tmp_path) as others:
        assert locks.acquire("unit") and not others.acquire("unit")
        assert locks.others() == 0 and others.others() == 1
    assert list(tmp_path.iterdir()) == []


def test_without_links_one_process_gets_a_lock(tmp_path, monkeypatch):
    def unsupported(source, target):
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", unsupported)
    with Locks(tmp_path) as locks, Locks(tmp_path) as others:
        assert locks.acquire("unit") and not others.acquire("unit")
        (tmp_path / "silent.0").write_text("")
        os.utime(tmp_path / "silent.0", (0, 0))
        locks._newest = lambda unit: None  # another has made the file since the look
        assert not locks.acquire("silent")
        assert (tmp_path / "silent.0").read_text() == ""
        (tmp_path / "silent.0").unlink()
    assert list(tmp_path.iterdir()) == []


def test_of_many_that_see_a_death_one_takes_over(tmp_path):
    elsewhere(tmp_path, "unit", 100)
    everyone = [Locks(tmp_path, stale=60.0) for _ in range(8)]
    barrier, taken = threading.Barrier(8), []

    def rush(locks):
        barrier.wait()
        taken.append(locks.acquire("unit"))

    threads = [threading.Thread(target=rush, args=(locks,)) for locks in everyone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False] * 7 + [True]


def test_a_living_owner_shows_it(tmp_path):
    with Locks(tmp_path, stale=0.6) as locks:
        locks.acquire("unit")
        before = (tmp_path / "unit.0").stat().st_mtime
        time.sleep(0.5)
        assert (tmp_path / "unit.0").stat().st_mtime > before
    assert not (tmp_path / "unit.0").exists()  # given back


def test_an_error_releases_locks_and_loses_nothing_that_was_done(tmp_path):
    done = []

    def begin(unit):
        if unit == "c":
            raise RuntimeError("out of memory")
        return lambda: done.append(unit)

    with pytest.raises(RuntimeError, match="memory"), Locks(tmp_path) as locks:
        share_work(list("abcd"), locks=locks, is_done=done.__contains__, begin=begin)
    assert done == ["a", "b"] and list(tmp_path.iterdir()) == []
    with Locks(tmp_path) as locks:
        share_work(
            list("abcd"),
            locks=locks,
            is_done=done.__contains__,
            begin=lambda unit: lambda: done.append(unit),
        )
    assert done == list("abcd")


def test_the_host_part_of_one_runs_beside_the_device_part_of_the_next(tmp_path):
    done, beside = [], threading.Event()

    def begin(unit):
        if unit == "b":
            beside.set()

        def finish():
            assert unit != "a" or beside.wait(10)
            done.append(unit)

        return finish

    with Locks(tmp_path) as locks:
        share_work(["a", "b"], locks=locks, is_done=done.__contains__, begin=begin)
    assert done == ["a", "b"]
