"""Two processes without a common disk share the work on a cache at an address."""

import os

import pytest
from helpers import free_port, run_together
from remote_servers import failing, s3_environment, s3_server

CODE = """
import os, sys
rank, count, port, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
os.environ["XDG_CACHE_HOME"] += f"{count}-{rank}"
import jax
if count > 1:
    jax.distributed.initialize(f"127.0.0.1:{port}", count, rank)
jax.devices()
import numpy as np
from equildm._types import TextEmbedding
from equildm.data import LatentCache, segments, ShapesSource
segments._FIRST = segments._MOST = 50
images = 0

def encode(batch):
    global images
    images += sum(bool(np.any(image)) for image in batch)
    return batch[:, ::4, ::4]

def embed(captions):
    rows = np.array([[len(c), *c.encode()[:3].ljust(3)] for c in captions], np.float32) / 128
    return TextEmbedding(tokens=rows[..., None], mask=rows >= 0)

cache = LatentCache(folder=folder, encode_images=encode, encode_captions=embed, image_key="i",
                    caption_key="c", batch=10)
latents = cache.latents(ShapesSource(side=32, count=300), 16)
batch = latents.gather(range(300))
print("result", images, latents.fingerprint, batch.latents.sum(), batch.text.tokens.sum())
"""


def results(count: int, folder: str, env: dict[str, str]) -> list[tuple[int, str]]:
    port = str(free_port())
    commands = [["-c", CODE, str(rank), str(count), port, folder] for rank in range(count)]
    lines = [
        line.split(maxsplit=2)
        for out, _ in run_together(commands, env=env)
        for line in out.splitlines()
        if line.startswith("result")
    ]
    return [(int(images), text) for _, images, text in lines]


@pytest.mark.slow
def test_two_machines_share_the_work(tmp_path):
    """One request in six is refused. One process alone, and later launches, have the same."""
    requests = []

    def fault(method: str, path: str) -> int | None:
        requests.append(path)
        return {1: 503, 7: 429}.get(len(requests) % 12)

    own = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    own["XDG_CACHE_HOME"] = str(tmp_path / "machine")
    ((encoded, expected),) = results(1, str(tmp_path / "here"), own)
    assert encoded == 300
    with s3_server() as url, failing(url, fault) as shaken:
        env = own | s3_environment(shaken)
        together = results(2, "s3://bucket/cache", env)
        assert together == [(150, expected), (150, expected)]
        env["XDG_CACHE_HOME"] = str(tmp_path / "another machine")
        assert results(1, "s3://bucket/cache", env) == [(0, expected)]
