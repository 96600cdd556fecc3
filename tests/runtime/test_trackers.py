"""Where curves are shown: what trackers receive, what an error of one does, and W&B for real."""

import importlib.util
import json
import os
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers import run_python

from equildm.runtime import (
    AbstractTracker,
    check_wandb,
    FunctionTracker,
    MetricsLog,
    read_metrics,
    Run,
    WandbTracker,
)

needs_wandb = pytest.mark.skipif(
    importlib.util.find_spec("wandb") is None, reason="wandb is not installed"
)


class Recorder(AbstractTracker):
    """What it is told, as a list."""

    def __init__(self):
        self.calls = []

    def scalars(self, step, values):
        self.calls.append((step, dict(values)))

    def image(self, step, name, image):
        self.calls.append((step, name, image.shape))

    def close(self):
        self.calls.append("closed")


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run").mkdir()
    return Run(tmp_path / "run", "test")


def test_trackers_receive_numbers_and_images(run):
    recorder, calls = Recorder(), []
    function = FunctionTracker(lambda step, values: calls.append((step, dict(values))))
    with MetricsLog(run, trackers=[recorder, function], track_every=2) as log:
        for step in (1, 2, 3):
            log.scalars(step, {"loss": np.float32(0.5)})
        log.timing(3, {"mfu": 0.25})
        log.image(3, "samples", np.zeros((2, 4, 3), np.uint8))
    assert calls == [(1, {"loss": 0.5}), (3, {"loss": 0.5}), (3, {"mfu": 0.25})]
    assert recorder.calls == [*calls, (3, "samples", (2, 4, 3)), "closed"]
    assert not run.tensorboard.exists()


def test_a_tracker_that_fails_ends_nothing(run, caplog):
    def broken(step, values):
        if step == 2:
            raise ConnectionError("no route to host")
        calls.append(step)

    calls, recorder = [], Recorder()
    log = MetricsLog(run, trackers=[FunctionTracker(broken), recorder], track_every=1)
    with log:
        for step in (1, 2, 3):
            log.scalars(step, {"loss": 0.5})
    assert calls == [1] and [call[0] for call in recorder.calls[:-1]] == [1, 2, 3]
    assert [line["step"] for line in read_metrics(run.metrics)] == [1, 2, 3]
    (warning,) = caplog.messages
    assert "FunctionTracker failed and is left out" in warning and "no route to host" in warning


def test_weights_and_biases_is_optional(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"received --tracker wandb .* pip install wandb"):
        check_wandb()


@needs_wandb
def test_weights_and_biases_offline(run, monkeypatch):
    """Two launches of a run folder are one run of Weights & Biases."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_PROJECT", "a-project")
    for start in (0, 3):
        with MetricsLog(run, start=start, trackers=[WandbTracker(run, start)]) as log:
            log.scalars(start + 1, {"loss": 0.5 + start})
            log.image(start + 1, "samples", np.zeros((8, 8, 3), np.uint8))
        monkeypatch.setenv("WANDB_PROJECT", "another")  # of this shell, not of the run
    identity = json.loads((run.path / "wandb.json").read_text())
    assert identity["project"] == "a-project"
    launches = sorted((run.path / "wandb").glob(f"offline-run-*-{identity['id']}"))
    assert len(launches) == 2
    for start, launch in zip((0, 3), launches, strict=True):
        (file,) = launch.glob("*.wandb")
        deadline = time.monotonic() + 10  # its service may write on for a moment
        while not rows(file) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert rows(file) == [{"loss": 0.5 + start, "_step": start + 1}]
        assert [p.suffix for p in launch.rglob("media/images/*")] == [".png"]

    with MetricsLog(run, trackers=[WandbTracker(run)]):  # anew
        pass
    assert json.loads((run.path / "wandb.json").read_text())["id"] != identity["id"]


def records(file: Path) -> Iterator[bytes]:
    """The records of a file of Weights & Biases, which is a log of LevelDB after 7 bytes.

    Blocks have 32 KiB; a fragment is a checksum, its size, its kind (1 is whole, 4 the last) and
    the data.
    """
    data, position, record = file.read_bytes(), 7, b""
    while position + 7 <= len(data):
        if 2**15 - position % 2**15 < 7:
            position += 2**15 - position % 2**15
            continue
        size, kind = struct.unpack_from("<HB", data, position + 4)
        record += data[position + 7 : position + 7 + size]
        position += 7 + size
        if kind in (1, 4):
            yield record
            record = b""


def rows(file: Path) -> list[dict[str, float]]:
    """The steps and the losses in a file of Weights & Biases."""
    from wandb.proto.wandb_internal_pb2 import Record

    losses = []
    for record in records(file):
        items = Record.FromString(record).history.item
        values = {"/".join(item.nested_key) or item.key: item.value_json for item in items}
        if "loss" in values:
            losses.append({name: json.loads(values[name]) for name in ("loss", "_step")})
    return losses


NO_ACCOUNT = """
import sys
import time
from pathlib import Path
from equildm.runtime import Run, WandbTracker
try:
    WandbTracker(Run(Path(sys.argv[1]), "test"))
except ValueError as error:
    print(error)
"""


@needs_wandb
def test_weights_and_biases_without_an_account_is_one_line(run, monkeypatch, tmp_path):
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    where = {"HOME": str(tmp_path), "WANDB_SILENT": "true", "PYTHONPATH": os.pathsep.join(sys.path)}
    printed = run_python(NO_ACCOUNT, str(run.path), devices=1, env=where)
    assert "received an error" in printed and "set WANDB_MODE=offline" in printed
