"""Whatever fails, and whenever: the same cache and curve in the end, or a clear error."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HERE = Path(__file__).parent
KINDS = ("", "input/output error", "too many files", "no space", "short reads", "kill")
KILL = 5


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """`server(words, fault, out)`: the exit code, the text and the number of counted calls."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler on Linux")
    library = tmp_path_factory.mktemp("library") / "faults.so"
    flags = ["-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / "faults.c"), "-ldl"]
    subprocess.run([compiler, *flags], check=True)
    process = subprocess.Popen(
        [sys.executable, str(HERE / "server.py")],
        env=os.environ | {"LD_PRELOAD": str(library), "JAX_PLATFORMS": "cpu"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def run(words, fault, out):
        order = {"words": [str(word) for word in words], "fault": fault, "out": str(out)}
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        return answer["code"], out.read_text(), int(answer["calls"] or 0)

    yield run
    process.stdin.close()
    process.wait(timeout=30)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """24 images with captions, one of them broken: that one is skipped."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in range(24):
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), np.uint8)).save(
            folder / f"{number:02d}.png"
        )
        (folder / f"{number:02d}.txt").write_text(f"image {number // 2}")
    (folder / "07.png").write_bytes(b"no image")
    return folder


def _words(folder, images):
    return ["--run", folder / "run", "--data", images, "--cache", folder / "cache"]


def _result(text):
    return [line for line in text.splitlines() if line.startswith("result ")]


@pytest.fixture(scope="module")
def peace(server, images, tmp_path_factory):
    """The result of a run in peace, and how many calls it makes in the folder and in the data."""
    folder = tmp_path_factory.mktemp("peace")
    fault = [str(folder.parent), 0, 0, 0]
    code, text, calls = server(_words(folder, images), fault, folder.parent / "peace.log")
    assert code == 0, text
    assert calls > 300
    return _result(text), calls


def _trial(server, images, peace, tmp_path, seed):
    """What a fault came to, and what is wrong with that."""
    draw = random.Random(seed)
    result, calls = peace
    kind, at, lasting = draw.randint(1, KILL), draw.randint(1, calls), draw.randint(0, 1)
    what = f"seed {seed}: {KINDS[kind]} at call {at} of {calls}{', from then on' * lasting}"
    folder, log = tmp_path / str(seed), tmp_path / f"{seed}.log"
    folder.mkdir()
    root = str(images.parent.parent)  # of the images and of the folder
    words = _words(folder, images)
    code, text, _ = server(words, [root, at, kind, lasting], log)
    faults = []
    if code == 0:
        faults += ["another result"] * (_result(text) != result)
    elif code == 1:
        faults += ["a traceback"] * ("Traceback" in text)
        faults += ["no message"] * (not text.splitlines()[-1].startswith("trained.py: "))
    elif code != -signal.SIGKILL or kind != KILL:
        faults.append(f"exit code {code}")
    again, later, _ = server([*words, "--resume", "--new"], [root, 0, 0, 0], log)
    faults += [f"then exit code {again}"] * (again != 0)
    faults += ["then another result"] * (again == 0 and _result(later) != result)
    shutil.rmtree(folder)
    report = f"{what}: {'; '.join(faults)}\n{text}\n--- then\n{later}" if faults else ""
    return KINDS[kind], code, report


def _check(outcomes):
    reports = [report for *_, report in outcomes if report]
    assert not reports, "\n\n".join([f"{len(reports)} of {len(outcomes)}", *reports])


@pytest.mark.slow
def test_faults_at_random_moments(server, images, peace, tmp_path):
    """200 trials, and a count of what they came to."""
    outcomes = [_trial(server, images, peace, tmp_path, seed) for seed in range(200)]
    for kind in KINDS[1:]:
        codes = [code for name, code, _ in outcomes if name == kind]
        print(f"{kind}: {len(codes)} trials, {codes.count(0)} unharmed, {codes.count(1)} errors")
    _check(outcomes)


def test_some_faults(server, images, peace, tmp_path):
    """A few of them, quickly."""
    _check([_trial(server, images, peace, tmp_path, seed) for seed in range(1000, 1003)])
