"""Weights read straight to their shards on eight devices."""

from helpers import run_python

CODE = """
import tempfile
import equinox as eqx
import jax
from jax.sharding import PartitionSpec
from equildm.denoise import UNetConfig
from equildm.interop import load_unet, save_unet
from equildm.runtime import make_mesh, partition

config = UNetConfig(64, context_width=64, multipliers=(1, 2), depths=(1, 1),
                    transformer_depths=(1, 0))
with tempfile.TemporaryDirectory() as folder:
    plain = config.build(key=jax.random.key(0))
    save_unet(folder, plain, config)
    mesh = make_mesh("fsdp=4,tensor=2")
    network, _ = load_unet(folder, mesh=mesh, dtype="bfloat16")
split = 0
for path, leaf in jax.tree_util.tree_leaves_with_path(network):
    spec = partition(jax.tree_util.keystr(path), leaf.shape, mesh.shape)
    assert leaf.sharding.spec == spec and leaf.dtype == "bfloat16"
    if spec != PartitionSpec():
        split += leaf.nbytes
        assert {shard.data.nbytes * 8 for shard in leaf.addressable_shards} == {leaf.nbytes}
assert split > 0.6 * sum(leaf.nbytes for leaf in jax.tree.leaves(network))
expected = jax.tree.map(lambda leaf: leaf.astype("bfloat16"), plain)
assert eqx.tree_equal(jax.device_get(network), jax.device_get(expected))
print("equal")
"""


PIECES = """
import jax
import numpy as np
from equildm.interop import pairs, read_array
from equildm.interop.mapping import read_weights
from equildm.interop.pairs import Pair
from equildm.runtime import abstract, make_mesh

copied = []
whole_copy = read_array._copy
read_array._copy = lambda view, copy: (copied.append(copy.size), whole_copy(view, copy))
random = np.random.default_rng(0)
ours = {"kernel": random.random((1024, 2048), np.float32), "bias": np.arange(5, dtype=np.float32),
        "stacked": {"w": random.random((3, 1024, 512), np.float32)}}
theirs = {"kernel": ours["kernel"].T.copy(), "bias": ours["bias"]}
theirs |= {f"w.{i}": ours["stacked"]["w"][i].T.copy() for i in range(3)}
table = [Pair("kernel", "kernel", pairs.OUT_IN), Pair("bias", "bias"),
         Pair("stacked.w", "w.{}", pairs.OUT_IN, layers=range(3))]
shapes = jax.eval_shape(lambda: jax.tree.map(jax.numpy.asarray, ours))
mesh = make_mesh("data=2,fsdp=4")
read = read_weights(abstract(shapes, mesh), table, theirs)
jax.tree.map(np.testing.assert_array_equal, jax.device_get(read), ours)
parts = {leaf.size // shard.data.size for leaf in jax.tree.leaves(read)
         for shard in leaf.addressable_shards}
assert parts == {1, 4}, parts
# Eight devices: every number is copied once, in pieces of a quarter.
assert sum(copied) == sum(leaf.size for leaf in jax.tree.leaves(ours)), copied
assert max(copied) == 1024 * 2048 // 4, copied
print("pieces")
"""


def test_eight_devices_hold_an_eighth_each():
    assert run_python(CODE, devices=8).strip() == "equal"


def test_a_device_reads_its_own_piece():
    assert run_python(PIECES, devices=8).strip() == "pieces"
