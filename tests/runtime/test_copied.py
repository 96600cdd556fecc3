"""Arrays of their own for what a step overwrites, on one device and on several."""

import jax
import numpy as np
from helpers import run_python

from equildm.runtime import copied

SHARDED = """
import jax, numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from equildm.runtime import copied, make_mesh

mesh = make_mesh("data=2,fsdp=4")
for spec in (PartitionSpec(), PartitionSpec("fsdp"), PartitionSpec(None, "fsdp")):
    x = jax.device_put(np.arange(64.0).reshape(8, 8), NamedSharding(mesh, spec))
    y = copied(x)
    assert y.sharding == x.sharding
    jax.jit(lambda a: a + 1, donate_argnums=0)(y)
    assert y.is_deleted() and np.array_equal(x, np.arange(64.0).reshape(8, 8))
"""


def test_a_donated_copy_leaves_the_tree_as_it_was():
    tree = {"a": jax.device_put(np.arange(3.0)), "b": (None, "static")}
    copy = copied(tree)
    assert copy["b"] == tree["b"]
    jax.jit(lambda x: x + 1, donate_argnums=0)(copy["a"])
    assert copy["a"].is_deleted()
    np.testing.assert_array_equal(tree["a"], [0, 1, 2])
    traced = jax.jit(copied)(tree["a"])
    np.testing.assert_array_equal(traced, [0, 1, 2])


def test_a_copy_compiles_no_program(caplog):
    x = jax.device_put(np.ones((11, 37), np.float32))
    with jax.log_compiles():
        copied(x)
    assert not caplog.records


def test_shards_stay_where_they_are():
    run_python(SHARDED)
