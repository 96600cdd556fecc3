"""Builds of a cache that are shot at, and two at once, in processes of their own."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import free_port, run_together

from equildm.data import CachedLatents

ROOT = Path(__file__).resolve().parents[2]


# A build in a process of its own: slow enough to be shot at, and saying when it is under way.
BUILD = """
import hashlib, sys, time
import numpy as np
from equildm._types import TextEmbedding
from equildm.data import LatentCache, segments, ShapesSource

segments._FIRST = segments._MOST = 8

def encode_images(images):
    print("encoding", flush=True)
    time.sleep(float(seconds))
    return images[:, ::4, ::4]

def encode_captions(captions):
    return TextEmbedding(np.ones((len(captions), 2, 3)), np.ones((len(captions), 2), bool))

for folder, seconds in zip(sys.argv[1::2], sys.argv[2::2]):
    cache = LatentCache(
        encode_images=encode_images,
        encode_captions=encode_captions, image_key="", caption_key="", folder=folder, batch=4,
    ).latents(ShapesSource(side=32, count=32), 16)
    content = cache.gather(range(32)).latents.tobytes()
    digest = hashlib.sha256(content).hexdigest()
    print(len(cache), cache.folder.name, cache.fingerprint, digest, flush=True)
"""


def _start(*folders_and_seconds):
    return subprocess.Popen(
        [sys.executable, "-c", BUILD, *map(str, folders_and_seconds)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def _lines(process):
    return process.communicate(timeout=60)[0].splitlines()


def test_killed_and_gone_on_with_once(tmp_path):
    """kill -9 leaves no cache. Then two launches at once make one: one of them works, on what is
    left. The result is that of a build in peace."""
    root = tmp_path / "caches"
    killed = _start(tmp_path / "peace", 0, root, 0.5)
    while not list(root.glob(".*.part/*.arrow")):  # a segment of 8 samples, two batches
        assert killed.poll() is None
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    (peace,) = [line.split()[2:] for line in _lines(killed) if line.startswith("32 ")]
    assert not list(root.glob("*/manifest.json"))
    done = 8 * len(list(root.glob(".*.part/*.arrow")))
    both = [_start(root, 0.05), _start(root, 0.05)]
    outputs = [_lines(process) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sorted(len(lines) for lines in outputs) == [1, 1 + (32 - done) // 4]
    assert outputs[0][-1] == outputs[1][-1] and outputs[0][-1].startswith("32 ")
    assert outputs[0][-1].split()[2:] == peace
    (finished,) = root.glob("*/manifest.json")
    assert not list(root.glob(".*.tmp")) and not list(root.glob(".*.part"))
    assert len(CachedLatents(finished.parent)) == 32


TOGETHER = """
import sys
import jax
index, count, port, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
if count > 1:
    jax.distributed.initialize(f"localhost:{port}", count, index)
import hashlib
import numpy as np
from equildm._types import TextEmbedding
from equildm.data import LatentCache, ShapesSource
encoded = []

def encode_images(images):
    encoded.append(len(images))
    return images[:, ::4, ::4]

def encode_captions(captions):
    return TextEmbedding(np.ones((len(captions), 2, 3)), np.ones((len(captions), 2), bool))

cache = LatentCache(
    encode_images=encode_images,
    encode_captions=encode_captions, image_key="", caption_key="", folder=folder, batch=5,
).latents(ShapesSource(side=32, count=30), 16)
batch = cache.gather(range(30))
print("result", hashlib.sha256(batch.latents.tobytes()).hexdigest(), cache.fingerprint)
print("encoded", sum(encoded), flush=True)
"""


def _results(outputs):
    lines = [line.split() for out, _ in outputs for line in out.splitlines()]
    results = [line[1:] for line in lines if line[:1] == ["result"]]
    return results, [int(line[1]) for line in lines if line[:1] == ["encoded"]]


@pytest.mark.slow
def test_processes_share_the_work(tmp_path):
    """Two processes encode half each, on one folder; each all, on folders of their own."""
    alone, counts = _results(run_together([["-c", TOGETHER, "0", "1", "0", str(tmp_path / "a")]]))
    assert counts == [30]
    for folders, each in ((["b", "b"], 15), (["c", "d"], 30)):
        port = str(free_port())
        commands = [
            ["-c", TOGETHER, str(index), "2", port, str(tmp_path / folder)]
            for index, folder in enumerate(folders)
        ]
        results, counts = _results(run_together(commands))
        assert results == alone * 2 and counts == [each, each]
        assert not list(tmp_path.glob("?/.*.mark"))
