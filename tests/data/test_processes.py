"""Real processes, joined by jax.distributed, see together what one process sees alone."""

import pytest
from helpers import free_port, run_together

CODE = """
import hashlib, sys
import jax, numpy as np
index, count, port = map(int, sys.argv[1:4])
if count > 1:
    jax.distributed.initialize(f"localhost:{port}", count, index)
from jax.experimental import multihost_utils
from equildm.data import batches, Crop, ImageDataset, prefetch, ShapesSource
mesh = jax.make_mesh((count,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
dataset = ImageDataset(ShapesSource(side=32, count=20), Crop(16, random=True, flip=True))
parts = batches(
    dataset, batch_size=8, seed=3, start=2,
    parts=(jax.process_index(),), of=jax.process_count(),
)
with prefetch(parts, sharding) as ahead:
    for _ in range(4):
        images = next(ahead).images
        assert images.shape == (8, 16, 16, 3)
        batch = np.asarray(multihost_utils.process_allgather(images, tiled=True))
        print("batch", hashlib.sha256(batch.tobytes()).hexdigest(), flush=True)
"""


def _run(count: int) -> list[list[str]]:
    port = str(free_port())
    commands = [["-c", CODE, str(index), str(count), port] for index in range(count)]
    outputs = run_together(commands)
    # Other lines are the collectives' own.
    return [[line for line in out.splitlines() if line.startswith("batch")] for out, _ in outputs]


@pytest.mark.slow
def test_two_processes_make_the_batches_of_one():
    (alone,) = _run(1)
    first, second = _run(2)
    assert len(set(alone)) == 4
    assert first == second == alone
