"""A whole study, small: trained, distilled, swept with a kill in between, reported."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from helpers import ROOT, run_python

from equildm.study import read_table, RowFiles

STUDY = ROOT / "recipes" / "scaling_study.py"


@pytest.fixture
def options(pictures, vae, tmp_path):
    return [
        *("--widths", "16", "32", "--checkpoints", "2", "--split", "training", "--count", "8"),
        *("--batch", "4", "--groups", "4", "--samplers", "ddim", "dpm++2m", "--steps", "2", "4"),
        *("--cfg", "1", "3", "--student-steps", "1", "4", "--reference", "ddim", "4", "3"),
        *("--distill", "lcm", "--distill-steps", "6", "--pictures", "2"),
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
    configs = [
        json.loads((folder / "runs" / name / "config.json").read_text())["config"]
        for name in ("c016", "c032")
    ]
    differing = {key for key in configs[0] if configs[0][key] != configs[1][key]}
    assert differing == {"preset", "run"}

    # Killed as soon as two rows are there.
    process = subprocess.Popen(
        [sys.executable, str(STUDY), str(folder), "sweep"],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
    )
    rows = RowFiles(folder / "rows")
    while len(rows.names()) < 2 and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    written = {p.name: p.stat().st_mtime_ns for p in rows.folder.glob("*.json")}
    assert 2 <= len(written) < 26
    study("sweep")
    assert all(  # nothing was computed again
        (rows.folder / name).stat().st_mtime_ns == at for name, at in written.items()
    )

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
    assert "For a budget of" in page and len(re.findall("<img ", page)) >= 8

    with pytest.raises(AssertionError, match="use another folder"):
        study("sweep", "--count", "9")
