"""What each device holds while a state is made on many, and afterwards."""

import helpers
import pytest

CODE = """
import math, sys
from functools import partial
import equinox as eqx, jax
from equildm.denoise import preset
from equildm.nn import _init, initialised
from equildm.runtime import gather, make_mesh, put, shardings
from equildm.training import adamw, PowerEMA, TrainState

def held():
    total = dict.fromkeys(jax.devices(), 0)
    for array in jax.live_arrays():
        size = math.prod(array.sharding.shard_shape(array.shape)) * array.dtype.itemsize
        for device in array.sharding.device_set:
            total[device] += size
    return max(total.values())

def promised(tree):
    arrays = eqx.filter(tree, lambda x: isinstance(x, jax.Array | jax.ShapeDtypeStruct))
    places = jax.tree.leaves(shardings(arrays, mesh))
    return sum(
        math.prod(place.shard_shape(x.shape)) * x.dtype.itemsize
        for x, place in zip(jax.tree.leaves(arrays), places, strict=True)
    )

mesh = make_mesh(sys.argv[1])
levels = {"multipliers": (4,), "depths": (1,), "transformer_depths": (1,)}
config = preset("mini", context_width=384, **levels)
build = partial(config.build, key=jax.random.key(0))
optimizer, ema = adamw(1e-3), PowerEMA()
described = eqx.filter_eval_shape(lambda: TrainState.create(build(), optimizer, ema))
spare = held() + 2**16  # keys, and the numbers of steps

seen = []
def watched(tree, places):
    result = put(tree, places)
    seen.append(held())
    return result

_init.put = watched
network = initialised(build, mesh)
share, state_share = promised(network), promised(described)
assert len(seen) >= len(jax.tree.leaves(network)) > 100, seen  # one by one
assert max(seen) <= share + spare, (max(seen), share)
state = TrainState.create(network, optimizer, ema, 3, mesh)
assert state_share <= held() <= state_share + spare, (held(), state_share)
places = shardings(state, mesh)
kept = jax.tree.leaves(eqx.filter(state, eqx.is_array))
assert [array.sharding for array in kept] == jax.tree.leaves(places)
plain = TrainState.create(build(), optimizer, ema, 3)
assert eqx.tree_equal(gather(plain.pieces()), gather(state.pieces()))
model_bytes = sum(x.nbytes for x in jax.tree.leaves(plain.pieces()["model"]))
print(model_bytes, share, state_share)
"""


@pytest.mark.parametrize(("mesh", "most"), [("fsdp=4,tensor=2", 0.5)])
def test_no_device_ever_holds_more_than_its_shards(mesh, most):
    model_bytes, share, state = map(int, helpers.run_python(CODE, mesh).split())
    # Of the model, of its averages (two) and of Adam's moments (two).
    assert share < most * model_bytes and state < 5.1 * share
