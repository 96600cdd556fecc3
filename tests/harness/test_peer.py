"""The harness of the benchmarks and of the `peer` fixture, with a worker that does nothing."""

import sys

import numpy as np
import pytest

from benchmarks._peer import alternate, compare, peak_mb, Peer, reset_peak, timed, Timing

WORKER = """
import time
from benchmarks.peers._serve import serve

def build(config):
    if config.get("broken"):
        raise ValueError("cannot be built")
    print("a library prints")          # must not reach the protocol
    held = []

    def sleep(seconds):
        start = time.perf_counter()
        time.sleep(seconds * config["factor"])
        return {"seconds": time.perf_counter() - start}

    def hold(megabytes):
        held.append(b"x" * (megabytes * 10**6))
        return {}

    def end():
        raise SystemExit(3)

    return {"sleep": sleep, "hold": hold, "end": end}

serve(build)
"""


@pytest.fixture
def worker(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)

    def start(**config):
        return Peer(script, config, python=sys.executable)

    return start


def test_alternates_and_reports_the_ratio(worker):
    order = []

    def ours():
        order.append("ours")
        return 0.01

    with worker(factor=2.0) as peer:

        def theirs():
            order.append("peer")
            return peer("sleep", seconds=0.01)["seconds"]

        timings = alternate({"ours": ours, "peer": theirs}, rounds=4, warmup=1)
    assert order == ["peer", "ours"] + ["ours", "peer", "peer", "ours"] * 2
    assert len(timings["ours"].seconds) == len(timings["peer"].seconds) == 4
    found = compare(timings["ours"], timings["peer"])
    assert found.low <= found.ratio <= found.high
    assert 2.0 <= found.ratio < 6.0
    assert "ratio" in str(found)


def test_compare_cancels_what_hits_both():
    found = compare(Timing((1.0, 9.0, 1.0, 4.0)), Timing((2.0, 18.0, 2.0, 8.0)))
    assert (found.ratio, found.low, found.high) == (2.0, 2.0, 2.0)
    assert Timing((1.0, 2.0, 3.0, 4.0, 5.0)).spread == pytest.approx(1 / 3)


def test_the_peak_is_the_workers_own(worker):
    ballast = b"x" * 200_000_000  # ours, not the worker's
    with worker() as peer:
        before = peer("hold", megabytes=1)["peak_mb"]
        after = peer("hold", megabytes=100)["peak_mb"]
    assert before < 100 < after - before + 5 < 150
    assert peak_mb() > len(ballast) / 1e6


def test_reset_peak_forgets():
    ballast = bytearray(200_000_000)
    ballast[::4096] = b"x" * len(ballast[::4096])
    del ballast
    high = peak_mb()
    if not reset_peak():
        pytest.skip("this system cannot")
    assert peak_mb() < high - 100


def test_failures_are_told(worker):
    with pytest.raises(RuntimeError, match="cannot be built"):
        worker(broken=True)
    with worker(factor=1.0) as peer:
        with pytest.raises(RuntimeError, match=r"The commands are .*'sleep'.*got 'fly'"):
            peer("fly")
        assert peer("sleep", seconds=0.0)["seconds"] >= 0  # and it goes on
        with pytest.raises(RuntimeError, match="exit code 3"):
            peer("end")


def test_timed_waits_for_the_call():
    assert timed(lambda: sum(range(1000)))() > 0


def test_peer_fixture_carries_arrays(peer):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    out = peer("softmax", config={"axis": 1}, x=x)
    expected = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    np.testing.assert_allclose(out["y"], expected, rtol=1e-6)
    assert out["y"].dtype == np.float32
