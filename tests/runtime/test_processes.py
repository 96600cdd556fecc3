"""The run folder, the log, batches and checkpoints under two real processes on loopback."""

import json

from helpers import free_port, run_together

CODE = """
import dataclasses, sys
import jax
jax.distributed.initialize(f"127.0.0.1:{sys.argv[1]}", 2, int(sys.argv[2]))
import numpy as np
from functools import partial
from equildm.runtime import *

@dataclasses.dataclass(frozen=True)
class Config:
    steps: int = 3

run = Run.create(sys.argv[3], Config(), "test")
assert run.load_config(Config) == Config()  # written before any process continues
mesh = make_mesh("fsdp=4")
every = partial(partition, small=0)
x = {
    "large": np.arange(2.0**18, dtype=np.float32).reshape(512, 512),
    "small": np.arange(64.0, dtype=np.float32).reshape(8, 8),
    "vector": np.arange(3.0, dtype=np.float32),
}
places = shardings(x, mesh, every)
state = {k: jax.make_array_from_callback(v.shape, places[k], v.__getitem__) for k, v in x.items()}
with Checkpoints(run.checkpoints) as checkpoints, MetricsLog(run) as log:
    checkpoints.save(1, {"x": state}, {"next": 7})
    for rule in (every, partition):
        like = abstract(x, mesh, rule)
        restored = checkpoints.restore({"x": like})
        assert restored.meta == {"next": 7}
        for name, value in restored.items["x"].items():
            assert value.sharding == like[name].sharding
            for shard in value.addressable_shards:
                np.testing.assert_array_equal(shard.data, x[name][shard.index])
    mine = np.arange(4) + 4 * jax.process_index()
    batch = put_batch(mine, mesh)
    np.testing.assert_array_equal(batch.addressable_shards[0].data, mine[:2])
    log.scalars(1, {"sum": float(jax.jit(lambda x: x.sum())(batch))})
print("ok")
"""


def test_two_processes(tmp_path):
    port, run = str(free_port()), str(tmp_path / "run")
    outputs = run_together([["-c", CODE, port, str(rank), run] for rank in range(2)], devices=2)
    for out, err in outputs:
        assert out.endswith("ok\n"), err
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"step": 1, "sum": 28.0}]  # once
    launches = json.loads((tmp_path / "run" / "environment.json").read_text())["launches"]
    assert [launch["devices"]["processes"] for launch in launches] == [2]
