import json
import os
import signal
import subprocess
import sys

import helpers
import jax.numpy as jnp
import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import directory_check  # noqa: F401 (proves the real package)

from equildm.runtime import MetricsLog, read_metrics, Run


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run").mkdir()
    return Run(tmp_path / "run", "test")


def events(run):
    """Everything in TensorBoard's files: length, checksum, message, checksum."""
    messages = []
    for file in sorted(run.tensorboard.glob("events*"), key=lambda f: f.stat().st_mtime_ns):
        data = file.read_bytes()
        while data:
            size = int.from_bytes(data[:8], "little")
            messages.append(Event.FromString(data[12 : 12 + size]))
            data = data[16 + size :]
    return messages


def test_floats_keep_their_bits(run):
    rng = np.random.default_rng(0)
    losses = rng.normal(size=200).astype(np.float32) * np.float32(1e-5)
    with MetricsLog(run) as log:
        for i, loss in enumerate(losses):
            log.scalars(i + 1, {"loss": loss, "rate": 0.1 * i, "count": np.int64(i), "ok": True})
        log.scalars(
            999, {"loss": float("nan"), "peak": np.array(np.inf), "half": np.array(1, jnp.bfloat16)}
        )
    lines = read_metrics(run.metrics)
    assert np.array([m["loss"] for m in lines[:-1]], np.float32).tobytes() == losses.tobytes()
    assert [m["rate"] for m in lines[:-1]] == [0.1 * i for i in range(200)]
    assert lines[0] == {"step": 1, "loss": float(losses[0]), "rate": 0.0, "count": 0, "ok": 1}
    assert np.isnan(lines[-1]["loss"]) and lines[-1]["peak"] == np.inf and lines[-1]["half"] == 1


def test_device_arrays_are_refused(run):
    with MetricsLog(run) as log:
        with pytest.raises(ValueError, match=r"device_get"):
            log.scalars(1, {"loss": jnp.float32(1)})
        with pytest.raises(ValueError, match="list for 'loss'"):
            log.scalars(1, {"loss": [1.0]})
        with pytest.raises(ValueError, match="uint8 of shape"):
            log.image(1, "grid", np.zeros((4, 4, 3), np.float32))
    assert read_metrics(run.metrics) == []


def test_tensorboard_scalars_and_images(run):
    with MetricsLog(run) as log:
        log.scalars(7, {"loss": 0.25})
        log.image(7, "grid", np.full((8, 8, 3), 200, np.uint8))
    values = [(e.step, v.tag, v) for e in events(run) for v in e.summary.value]
    assert [(step, tag) for step, tag, _ in values] == [(7, "loss"), (7, "grid")]
    assert values[0][2].simple_value == 0.25
    assert values[1][2].image.height == 8 and values[1][2].image.colorspace == 3


def test_trackers_get_fewer_points(run):
    with MetricsLog(run, start=3, track_every=5) as log:
        for step in range(4, 16):
            log.scalars(step, {"loss": 0.5} | ({"rare": 1.0} if step in (7, 15) else {}))
    points = [(v.tag, e.step) for e in events(run) for v in e.summary.value]
    assert sorted(points) == [("loss", 4), ("loss", 9), ("loss", 14), ("rare", 7), ("rare", 15)]
    assert len(read_metrics(run.metrics)) == 12


def test_resume_cuts_lines_that_training_repeats(run):
    with MetricsLog(run) as log:
        for step in range(1, 11):
            log.scalars(step, {"loss": step / 3})
    with open(run.metrics, "a") as file:
        file.write('{"step": 11, "lo')  # killed in the middle of a line
    assert [m["step"] for m in read_metrics(run.metrics)] == list(range(1, 11))
    with MetricsLog(run, start=6) as log:
        log.scalars(7, {"loss": 0.5})
    assert [m["step"] for m in read_metrics(run.metrics)] == [1, 2, 3, 4, 5, 6, 7]
    assert read_metrics(run.metrics)[5]["loss"] == 2.0
    # TensorBoard drops events of earlier launches from the purge step on.
    started = [e.step for e in events(run) if e.HasField("session_log")]
    assert started[-1] == 7
    # Killed before its first checkpoint: all steps are repeated.
    with MetricsLog(run):
        pass
    assert read_metrics(run.metrics) == []


def test_a_cut_line_that_parses_is_still_cut(run):
    run.metrics.write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.25}')
    assert [m["step"] for m in read_metrics(run.metrics)] == [1]


def test_a_broken_line_that_would_be_cut_is_named(run):
    text = '{"step": 1}\n{"st\n{"step": 3}\n'
    run.metrics.write_text(text)
    with pytest.raises(ValueError, match="line 2"):
        MetricsLog(run, start=1)
    assert run.metrics.read_text() == text  # nothing lost
    with MetricsLog(run, start=3):  # before the cut: it stays, and a reader is told
        pass
    assert run.metrics.read_text() == text
    with pytest.raises(ValueError, match="line 2"):
        read_metrics(run.metrics)


def test_what_a_clock_tells_has_a_file_of_its_own(run):
    with MetricsLog(run) as log:
        for step in range(1, 5):
            log.scalars(step, {"loss": 0.5})
            log.timing(step, {"examples_per_second": 10.0 * step})
    assert all(set(line) == {"step", "loss"} for line in read_metrics(run.metrics))
    timing = run.path / "timing.jsonl"
    assert read_metrics(timing)[1] == {"step": 2, "examples_per_second": 20.0}
    points = [(v.tag, e.step) for e in events(run) for v in e.summary.value]
    assert points == [("loss", 1), ("examples_per_second", 1)]
    with MetricsLog(run, start=2):
        pass
    assert [m["step"] for m in read_metrics(timing)] == [1, 2]


KILLED = """
import os, signal, sys
from pathlib import Path
from equildm.runtime import MetricsLog, Run
log = MetricsLog(Run(Path(sys.argv[1]), "test"))
for step in range(1, 51):
    log.scalars(step, {"loss": 1 / step})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_kill_loses_no_line(run):
    code = [sys.executable, "-c", KILLED, str(run.path)]
    env = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(helpers.ROOT)}
    assert subprocess.run(code, cwd=helpers.ROOT, env=env).returncode == -signal.SIGKILL
    lines = run.metrics.read_text().splitlines()
    assert [json.loads(line)["loss"] for line in lines] == [1 / step for step in range(1, 51)]
