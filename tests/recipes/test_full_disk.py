"""A disk that is really full: one line, nothing half-written, and the training goes on."""

import subprocess
import sys

import pytest
from helpers import ROOT, run_python

PRETRAIN = ROOT / "recipes" / "pretrain.py"


@pytest.fixture
def disk(tmp_path):
    """`disk(kibibytes)` makes a disk of this size, or changes it."""
    path = tmp_path / "disk"
    path.mkdir()

    def resize(kibibytes, options="remount,"):
        size = f"{options}size={kibibytes}k"
        command = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(path)]
        return subprocess.run(command, capture_output=True).returncode == 0

    if sys.platform != "linux" or not resize(1, ""):
        pytest.skip("needs the right to mount a disk in memory")
    yield path, resize
    subprocess.run(["umount", str(path)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("kibibytes", [4, 150, 12_000, 70_000])
def test_a_full_disk_is_one_line_and_the_training_goes_on(options, disk, kibibytes):
    """Full at the start, in the encoding, at a checkpoint, and at the next one."""
    path, resize = disk
    resize(kibibytes)
    options = [*options, "--cache", str(path / "cache"), "--run", str(path / "mine")]
    command = [sys.executable, str(PRETRAIN), *options, "--steps", "12"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    text = result.stdout + result.stderr
    assert result.returncode == 1 and "Traceback" not in text, text
    assert text.splitlines()[-1].startswith("pretrain.py: The disk is full: ")

    assert resize(1_000_000)
    go_on = ["--resume", "--new", "--steps", "12"]
    assert "To sample:" in run_python(PRETRAIN, *options, *go_on, devices=1)
