"""Two real processes that train one run at an address, and one process that reads what they saved.

At gs:// Orbax writes by itself, and the processes share no disk; at s3:// a folder that both share
is copied.
"""

import os

import pytest
from helpers import free_port, run_python, run_together
from remote_servers import gcs_environment, gcs_server, s3_environment, s3_server

CODE = """
import dataclasses, os, sys
import jax
address, port, rank = sys.argv[1:4]
if address.startswith("gs:"):
    os.environ["XDG_CACHE_HOME"] += rank
if rank != "alone":
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, int(rank))
    jax.devices()  # as a launch does: the processes meet here, so one alone would wait later
import numpy as np
from functools import partial
from equildm.runtime import *

@dataclasses.dataclass(frozen=True)
class Config:
    steps: int = 3

run = Run.create(address, Config(), "test", resume=True)
run.push()
barrier("run begun")
assert Run.open(address).load_config(Config) == Config()
mesh = make_mesh("fsdp=4")
x = {"large": np.arange(2.0**18, dtype=np.float32).reshape(512, 512), "one": np.ones(3, np.float32)}
rule = partial(partition, small=0)
places, like = shardings(x, mesh, rule), abstract(x, mesh, rule)
state = {k: jax.make_array_from_callback(np.shape(v), places[k], lambda i: np.asarray(v)[i])
         for k, v in x.items()}

def check(checkpoints, steps):
    assert checkpoints.steps() == steps, (checkpoints.steps(), steps)
    restored = checkpoints.restore({"x": like})
    assert restored.meta == {"next": steps[-1]}
    for name, value in restored.items["x"].items():
        for shard in value.addressable_shards:
            np.testing.assert_array_equal(shard.data, np.asarray(x[name])[shard.index])

before = [int(n) for n in sys.argv[4:]]
with Checkpoints(run.checkpoints, keep=2, before_complete=run.push) as checkpoints:
    if before:
        check(checkpoints, before)
    for step in (max(before, default=0) + 1, max(before, default=0) + 2):
        assert checkpoints.save(step, {"x": state}, {"next": step})
    checkpoints.wait()
    barrier("saved")
    check(checkpoints, [step - 1, step])
run.push()
print("ok")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "protocol, server, environment",
    [("gs", gcs_server, gcs_environment), ("s3", s3_server, s3_environment)],
)
def test_two_processes_and_one_take_turns(tmp_path, protocol, server, environment):
    with server() as url:
        env = environment(url) | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
        env["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")
        address, port = f"{protocol}://bucket/run", str(free_port())

        def together(*before: str) -> None:
            commands = [["-c", CODE, address, port, str(rank), *before] for rank in range(2)]
            for out, err in run_together(commands, devices=2, env=env):
                assert out.endswith("ok\n"), err

        together()
        assert run_python(CODE, address, port, "alone", "1", "2", devices=4, env=env).endswith(
            "ok\n"
        )
        together("3", "4")
