"""The cut of a resumed run's lines equals that of reading all of them, and takes no time."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import helpers
import pytest

from equildm.runtime._json_lines import _BLOCK, cut_after


def reference(text: str, step: int) -> str:
    """What stays of a file, by reading every line."""
    lines = [json.loads(line) for line in text.split("\n")[:-1]]
    return "".join(json.dumps(m) + "\n" for m in lines if 0 < step and m["step"] <= step)


def some_lines(rng: random.Random, count: int) -> str:
    """Lines of rising steps, some of them longer than a block, some with letters of two bytes."""
    text = ""
    for step in range(1, count + 1):
        note = rng.choice(["", "é", "x" * rng.choice([10, _BLOCK - 30, 2 * _BLOCK + 5])])
        text += json.dumps({"step": 2 * step, "loss": rng.random(), "note": note}) + "\n"
    return text


@pytest.mark.parametrize("seed", range(20))
def test_the_cut_is_that_of_reading_all(tmp_path, seed):
    rng = random.Random(seed)
    file = tmp_path / "metrics.jsonl"
    text = some_lines(rng, rng.randrange(6))
    text += rng.choice(["", '{"step": 99', '{"step": 1, "loss": 0.5}', "x" * _BLOCK])
    for step in range(15):
        file.write_text(text, encoding="utf-8")
        cut_after(file, step)
        assert file.read_text(encoding="utf-8") == reference(text, step), step


def test_there_may_be_no_file(tmp_path):
    cut_after(tmp_path / "metrics.jsonl", 3)
    assert not (tmp_path / "metrics.jsonl").exists()


@pytest.mark.parametrize("line", ["{", "[1]", "7", '{"loss": 1}'])
def test_a_line_without_a_step_is_an_error_and_nothing_is_lost(tmp_path, line):
    file = tmp_path / "metrics.jsonl"
    text = f'{{"step": 1}}\n{line}\n'
    file.write_text(text)
    with pytest.raises(ValueError, match=r"metrics\.jsonl"):
        cut_after(file, 1)
    assert file.read_text() == text


@pytest.fixture(scope="module")
def million(tmp_path_factory):
    """The file of a run of a million steps."""
    file = tmp_path_factory.mktemp("million") / "metrics.jsonl"
    with open(file, "w") as lines:
        rest = f'"loss": {1 / 3}, "finite": 1}}\n'
        lines.writelines(f'{{"step": {step}, {rest}' for step in range(1, 1_000_001))
    return file


def test_a_million_lines(million):
    size, began = million.stat().st_size, time.perf_counter()
    cut_after(million, 999_000)
    seconds = time.perf_counter() - began
    print(f"{size / 1e6:.0f} MB were cut in {1000 * seconds:.1f} ms")
    assert seconds < 0.5  # 8 ms alone; reading all takes 2 s
    with open(million, "rb") as file:
        file.seek(-200, os.SEEK_END)
        last = file.read().splitlines()[-1]
    assert json.loads(last)["step"] == 999_000
    assert million.read_bytes().count(b"\n") == 999_000


KILLED = """
import sys
from pathlib import Path
from equildm.runtime._json_lines import cut_after
print("begun", flush=True)
for step in range(999_000, 0, -1):
    cut_after(Path(sys.argv[1]), step)
"""


def test_a_process_that_is_killed_leaves_a_file_of_complete_lines(million):
    env = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(helpers.ROOT)}
    command = [sys.executable, "-c", KILLED, str(million)]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"begun\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    *lines, rest = million.read_bytes().split(b"\n")
    assert not rest and 1 < len(lines) < 999_000
    assert [json.loads(line)["step"] for line in lines[-3:]] == [len(lines) - i for i in (2, 1, 0)]
