"""A run at an address whose server fails and whose process is killed ends as one in peace does."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading

import pytest
from helpers import ROOT, run_python
from remote_servers import failing, s3_environment, s3_server, use_s3

from equildm.runtime import read_metrics, Run
from equildm.runtime.remote import PATIENCE, RemoteFolder

RECIPE = ROOT / "recipes" / "pretrain.py"
STEPS = 12
ADDRESS = "s3://bucket/run"


@pytest.fixture
def s3(monkeypatch, tmp_path):
    """The URL of a server, which this process uses without faults."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    with s3_server() as url:
        use_s3(monkeypatch, url)
        yield url


def environment(url, cache):
    """Of a process on a machine with that cache folder."""
    own = {"XDG_CACHE_HOME": str(cache), PATIENCE: "60", "PYTHONPATH": os.environ["PYTHONPATH"]}
    return s3_environment(url) | own


def complete_steps():
    names = RemoteFolder(f"{ADDRESS}/checkpoints").files()
    return sorted(
        int(n.split("/")[0]) for n in names if n.endswith("success.txt") and n.count("/") == 1
    )


def shaken(seed):
    """One request in ten is refused or cut off."""
    draw, lock = random.Random(seed), threading.Lock()

    def fault(method: str, path: str) -> int | None:
        del method, path
        with lock:
            return draw.choice((503, 429, 0)) if draw.random() < 0.1 else None

    return fault


def start(env, *options):
    return subprocess.Popen(
        [sys.executable, str(RECIPE), *options],
        cwd=ROOT,
        env=os.environ | env | {"JAX_PLATFORMS": "cpu"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_killed_in_an_upload_and_resumed_elsewhere(s3, options, tmp_path):
    steps = ("--steps", str(STEPS))
    run_python(RECIPE, *options, *steps, "--run", str(tmp_path / "peace"), devices=1)
    arrived = threading.Event()

    def killing(method: str, path: str) -> int | None:
        """The second checkpoint is half there when the process is killed."""
        if method == "PUT" and "/checkpoints/8/" in path and "/d/" in path:
            arrived.set()
            threading.Event().wait(3.0)
        return shaken_faults(method, path)

    shaken_faults = shaken(1)
    with failing(s3, killing) as url:
        process = start(environment(url, tmp_path / "first"), *options, *steps, "--run", ADDRESS)
        assert arrived.wait(240), process.communicate()
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert complete_steps() == [4]
    remote = RemoteFolder(ADDRESS).files()
    assert any(name.startswith("checkpoints/8/") for name in remote)
    shutil.rmtree(tmp_path / "first")
    with failing(s3, shaken(2)) as url:
        env = environment(url, tmp_path / "second")
        run_python(RECIPE, "--run", ADDRESS, "--resume", devices=1, env=env)
    assert complete_steps() == [4, 8, 12]
    peace, run = Run.open(tmp_path / "peace"), Run.open(ADDRESS)
    assert read_metrics(run.metrics) == read_metrics(peace.metrics)
    assert [line["step"] for line in read_metrics(run.metrics)] == list(range(1, STEPS + 1))
    assert "lock.json" not in RemoteFolder(ADDRESS).files()
    sample = ROOT / "recipes" / "sample.py"
    out = tmp_path / "out.png"
    more = ("--prompt", "a", "--count", "1", "--sampling-steps", "1", "--out", str(out))
    run_python(sample, ADDRESS, *more, devices=1, env=environment(s3, tmp_path / "third"))
    assert out.exists()


@pytest.mark.slow
def test_an_outage_that_lasts_ends_in_one_line(s3, options, tmp_path):
    steps = ("--steps", str(STEPS), "--run", ADDRESS)

    def outage(method: str, path: str) -> int | None:
        return 503 if method == "PUT" and "/checkpoints/8/" in path else None

    with failing(s3, outage) as url:
        env = environment(url, tmp_path / "first") | {PATIENCE: "2"}
        process = start(env, *options, *steps)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    assert errors.count("could not be reached for 2 s") == 1 and "Traceback" not in errors
    assert complete_steps() == [4]
    env = environment(s3, tmp_path / "second")
    run_python(RECIPE, *options, *steps, "--resume", devices=1, env=env)
    steps_logged = [line["step"] for line in read_metrics(Run.open(ADDRESS).metrics)]
    assert steps_logged == list(range(1, STEPS + 1))


@pytest.mark.slow
def test_options_without_addresses(options, tmp_path):
    """None of them makes a folder that is called `s3:`."""
    for option in ("--vae", "--text-encoder"):
        with pytest.raises(AssertionError, match=f"{option} is one of this machine"):
            run_python(RECIPE, *options, "--run", str(tmp_path), option, "s3://bucket/x", devices=1)
    assert not (ROOT / "s3:").exists()
