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


def test_eight_devices_hold_an_eighth_each():
    assert run_python(CODE, devices=8).strip() == "equal"
