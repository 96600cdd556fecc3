"""Builds of a cache that are shot at, and two at once, in processes of their own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from equildm.data import CachedLatents

ROOT = Path(__file__).resolve().parents[2]


# A build in a process of its own: slow enough to be shot at, and saying when it is under way.
BUILD = """
import sys, time
import numpy as np
from equildm._types import TextEmbedding
from equildm.data import cached_latents, ShapesSource

def encode_images(images):
    print("encoding", flush=True)
    time.sleep(float(sys.argv[2]))
    return images[:, ::4, ::4]

def encode_captions(captions):
    return TextEmbedding(np.ones((len(captions), 2, 3)), np.ones((len(captions), 2), bool))

cache = cached_latents(
    ShapesSource(side=32, count=32), size=16, encode_images=encode_images,
    encode_captions=encode_captions, key_parts={}, folder=sys.argv[1], batch=4,
)
print(len(cache), cache.folder.name, flush=True)
"""


def _start(folder, seconds):
    return subprocess.Popen(
        [sys.executable, "-c", BUILD, str(folder), str(seconds)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_killed_and_made_again_once(tmp_path):
    """kill -9 leaves no cache; then two processes at once make one, and only one of them works."""
    killed = _start(tmp_path, 30)
    assert killed.stdout.readline() == "encoding\n"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not list(tmp_path.glob("[!.]*"))
    (left,) = (path for path in tmp_path.iterdir() if path.suffix == ".tmp")
    (left / "half-written").touch()  # what the dead one had begun
    both = [_start(tmp_path, 0.05), _start(tmp_path, 0.05)]
    outputs = [process.communicate(timeout=60)[0].splitlines() for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sorted(len(lines) for lines in outputs) == [1, 1 + 8]
    assert outputs[0][-1] == outputs[1][-1] and outputs[0][-1].startswith("32 ")
    (finished,) = tmp_path.glob("[!.]*")
    assert not list(tmp_path.glob(".*.tmp"))
    assert len(CachedLatents(finished)) == 32
    assert "manifest.json" in os.listdir(finished) and "half-written" not in os.listdir(finished)
