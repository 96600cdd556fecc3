"""A whole study, small: trained, distilled, swept with ten kills in between, reported."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers import ROOT, run_python

from equildm.study import read_table, RowFiles

STUDY = ROOT / "recipes" / "scaling_study.py"


@pytest.fixture
def options(pictures, vae, tmp_path):
    return [
        *("--widths", "16", "32", "--checkpoints", "2", "--split", "training", "--count", "8"),
        *("--batch-size", "4", "--groups", "4", "--samplers", "ddim", "dpm++2m"),
        *("--sampling-steps", "2", "4", "--guidance-scale", "1", "3", "--student-steps", "1", "4"),
        *("--reference", "ddim", "4", "3", "--distill", "lcm", "--distill-steps", "6"),
        *("--images", "2"),
        *("--train.data", str(pictures), "--train.vae", str(vae), "--train.steps", "4"),
        *("--train.cache", str(tmp_path / "cache"), "--train.batch-size", "4"),
        *("--train.warmup", "1", "--train.held-out", "0"),
    ]


@pytest.mark.slow  # trains four models and compiles six samplers
def test_a_study_from_nothing_to_its_report(options, tmp_path):
    folder = tmp_path / "study"
    study = lambda *more: run_python(STUDY, str(folder), *more, devices=1, timeout=1500)
    study("train", *options)
    study("distill")  # the folder remembers the rest
    assert {p.name for p in (folder / "runs").iterdir()} == {
        *("c016", "c032", "c016-lcm", "c032-lcm"),
    }
    first, second = (
        json.loads((folder / "runs" / name / "config.json").read_text())["config"]
        for name in ("c016", "c032")
    )
    assert {key for key in first if first[key] != second[key]} == {"preset", "run"}

    # Killed ten times, each time that a row or two more are there and at any moment from then on.
    random = np.random.default_rng(0)
    rows = RowFiles(folder / "rows")
    done: dict[str, int] = {}
    for _ in range(10):
        goal = min(len(done) + int(random.integers(1, 3)), 25)
        process = subprocess.Popen(
            [sys.executable, str(STUDY), str(folder), "sweep"],
            cwd=ROOT,
            env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        )
        while len(rows.names()) < goal and process.poll() is None:
            time.sleep(0.1)
        time.sleep(random.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        times = {p.name: p.stat().st_mtime_ns for p in rows.folder.glob("*.json")}
        assert done.items() <= times.items()  # nothing was computed again
        done = times
    assert 10 <= len(done) < 26
    study("sweep")
    times = {p.name: p.stat().st_mtime_ns for p in rows.folder.glob("*.json")}
    assert done.items() < times.items()

    # The same table as in peace, but for the time that images took.
    peace = tmp_path / "peace"
    runs = [str(folder / "runs" / name) for name in ("c016", "c032", "c016-lcm", "c032-lcm")]
    run_python(STUDY, str(peace), "sweep", *options, "--runs", *runs, devices=1, timeout=1500)
    timeless = lambda rows: [dataclasses.replace(row, seconds=0.0) for row in rows.read()]
    assert timeless(rows) == timeless(RowFiles(peace / "rows"))

    printed = study("report")
    table = read_table(folder / "table.parquet")
    assert f"{len(table)} rows" in printed
    # 2 widths x (2 samplers x 2 x 2, an early checkpoint, and a student's 2 x 2).
    assert len(table) == 2 * (8 + 1 + 4)
    assert {r.method for r in table} == {"", "lcm"} and {r.width for r in table} == {16, 32}
    assert {r.train_step for r in table if not r.method} == {2, 4}
    assert all(r.fid > 0 and len(r.fid_spread) == 4 and r.seconds > 0 for r in table)
    assert {(r.branches, r.guidance) for r in table if not r.method} == {(1, 1.0), (2, 3.0)}
    page = (folder / "report" / "index.html").read_text()
    assert "For a budget of" in page and len(re.findall("<img ", page)) >= 11

    with pytest.raises(AssertionError, match="use another folder"):
        study("sweep", "--count", "9")


@pytest.mark.slow  # trains two models and compiles two samplers
def test_a_study_of_two_families_of_transformers(options, tmp_path):
    folder = tmp_path / "study"
    flow = ("--train.schedule", "rectified-flow", "--train.prediction", "flow")
    run_python(
        *(STUDY, str(folder), *options[3:], *flow, "--widths", "--distill", "--samplers", "ddim"),
        *("--transformers", "dit:tiny", "mmdit:tiny"),
        devices=1,
        timeout=1500,
    )
    table = read_table(folder / "table.parquet")
    assert {(row.run, str(row.size)) for row in table} == {
        ("dit-tiny", "dit rectified-flow/flow 128x6"),
        ("mmdit-tiny", "mmdit rectified-flow/flow 128x6"),
    }
    assert len(table) == 2 * (4 + 1) and all(row.fid > 0 for row in table)
    page = (folder / "report" / "index.html").read_text()
    assert "Families at each budget" in page
    assert (folder / "report" / "straightness.png").is_file()
