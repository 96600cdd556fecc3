import helpers
import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, PartitionSpec as P

from equildm.runtime import (
    abstract,
    batch_sharding,
    check_batch,
    make_mesh,
    parse_mesh,
    partition,
    put_batch,
    shardings,
)


def test_parse():
    assert parse_mesh("data=4,fsdp=2") == {"data": 4, "fsdp": 2}
    assert parse_mesh(" tensor = 2 , data=1,") == {"tensor": 2, "data": 1}
    assert parse_mesh("") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model=2", "'model'"),
        ("data", "axis=size"),
        ("data=two", "axis=size"),
        ("data=-1", "axis=size"),
        ("data=0", "data=0"),
        ("data=2,data=4", "'data' twice"),
    ],
)
def test_parse_refuses(text, message):
    with pytest.raises(ValueError, match=message):
        parse_mesh(text)


def test_sizes_must_make_the_devices():
    with pytest.raises(ValueError, match=r"multiply to 1, received 'data=3,fsdp=2' which makes 6"):
        make_mesh("data=3,fsdp=2")
    with pytest.raises(ValueError, match="'rows'"):
        make_mesh({"rows": 1})


def test_one_device_is_trivial():
    mesh = make_mesh()
    assert dict(mesh.shape) == {"data": 1, "fsdp": 1, "tensor": 1}
    assert mesh.axis_types == (AxisType.Auto,) * 3
    assert shardings(jnp.ones((512, 512)), mesh).spec == P()
    batch = put_batch({"x": jnp.ones((3, 2))}, mesh)
    assert batch["x"].shape == (3, 2) and batch["x"].sharding == batch_sharding(mesh)


SIZES = {"data": 1, "fsdp": 8, "tensor": 1}


@pytest.mark.parametrize(
    ("shape", "sizes", "spec"),
    [
        ((512, 1024), SIZES, P(None, "fsdp")),  # output features first
        ((512, 1001), SIZES, P("fsdp")),  # they do not divide: input features
        ((509, 1001), SIZES, P()),  # nothing divides: not split
        ((3, 3, 128, 256), SIZES, P(None, None, None, "fsdp")),
        ((3, 3, 320, 4), SIZES, P()),  # small
        ((8, 8, 3, 1001), SIZES, P()),  # the taps of a kernel are never split
        ((1024 * 1024,), SIZES, P()),  # vectors
        ((), SIZES, P()),
        ((6, 512, 1024), SIZES, P(None, None, "fsdp")),  # stacked for a scan
        ((512, 1024), {"data": 8, "fsdp": 1, "tensor": 1}, P()),
        ((512, 1024), {"data": 1, "fsdp": 4, "tensor": 2}, P("fsdp", "tensor")),
        ((512, 1001), {"data": 1, "fsdp": 4, "tensor": 2}, P("tensor")),
        ((511, 1024), {"data": 1, "fsdp": 4, "tensor": 2}, P(None, "tensor")),
        ((512, 1002), {"data": 1, "fsdp": 4, "tensor": 2}, P("fsdp", "tensor")),
    ],
)
def test_rule(shape, sizes, spec):
    assert partition(".weight", shape, sizes) == spec


def test_check_batch():
    mesh = jax.sharding.AbstractMesh((2, 3, 2), ("data", "fsdp", "tensor"))
    assert check_batch(12, mesh) == 12
    with pytest.raises(ValueError, match="data x fsdp = 6 devices, received 10"):
        check_batch(10, mesh)


def test_a_mesh_that_is_not_there():
    # 256 chips, a layer of 4 GiB: placed by its shape alone.
    mesh = jax.sharding.AbstractMesh((2, 128, 1), ("data", "fsdp", "tensor"))
    layer = abstract(jax.ShapeDtypeStruct((2**15, 2**15), jnp.float32), mesh)
    assert layer.sharding.shard_shape(layer.shape) == (2**15, 2**8)


def test_trees_keep_their_structure():
    mesh = make_mesh()
    tree = {"w": jax.ShapeDtypeStruct((4, 4), jnp.bfloat16), "f": jnp.sin, "n": None}
    places = shardings(tree, mesh)
    assert places["f"] is None and places["w"].mesh == mesh
    described = abstract(tree, mesh)
    assert described["w"].dtype == jnp.bfloat16 and described["w"].sharding == places["w"]


EIGHT = """
import sys
import equinox as eqx, jax, jax.numpy as jnp, numpy as np, optax
from jax.sharding import PartitionSpec as P
from equildm.nn import Linear
from equildm.runtime import *

def build(key):
    a, b = jax.random.split(key)
    return [Linear(256, 512, key=a), Linear(512, 256, key=b)]

def loss(layers, x):
    hidden = jax.vmap(layers[0])(x)
    return jnp.mean(jax.vmap(layers[1])(jax.nn.silu(hidden)) ** 2)

optimizer = optax.adam(1e-2)

def init(key):
    layers = build(key)
    return layers, optimizer.init(layers)

def step(layers, state, x):
    value, gradients = jax.value_and_grad(loss)(layers, x)
    updates, state = optimizer.update(gradients, state)
    return optax.apply_updates(layers, updates), state, value

x = np.random.default_rng(0).normal(size=(16, 256)).astype(np.float32)
curves = {}
for name in ("one", *sys.argv[1:]):
    mesh = make_mesh("", devices=jax.devices()[:1]) if name == "one" else make_mesh(name)
    places = shardings(jax.eval_shape(init, jax.random.key(0)), mesh)
    # Initialised straight into shards: no device ever holds all of it.
    layers, state = jax.jit(init, out_shardings=places)(jax.random.key(0))
    weight = layers[0].weight
    assert weight.sharding == places[0][0].weight
    assert state[0].mu[0].weight.sharding == weight.sharding
    share = mesh.shape["fsdp"] * mesh.shape["tensor"]
    assert weight.addressable_shards[0].data.nbytes == weight.nbytes // share, name
    run = jax.jit(step, out_shardings=(*places, replicated(mesh)), donate_argnums=(0, 1))
    batch = put_batch(x, mesh)
    parts = mesh.shape["data"] * mesh.shape["fsdp"]
    assert batch.addressable_shards[0].data.shape[0] == 16 // parts
    values = []
    for _ in range(5):
        layers, state, value = run(layers, state, batch)
        values.append(float(value))
    curves[name] = values
for name, values in curves.items():
    np.testing.assert_allclose(values, curves["one"], rtol=1e-5, err_msg=name)
try:
    make_mesh("data=4")
except ValueError as error:
    assert "multiply to 8, received 'data=4'" in str(error)
else:
    raise AssertionError
print("agreed", curves["one"][0] / curves["one"][-1])
"""


MESHES = ("data=2,fsdp=4 fsdp=4,tensor=2", "data=8 fsdp=8")


@pytest.mark.parametrize("meshes", helpers.others_slow(MESHES, MESHES[0]))
def test_eight_devices_agree_with_one(meshes):
    words = helpers.run_python(EIGHT, *meshes.split()).split()
    assert words[0] == "agreed" and float(words[1]) > 1.5  # it did learn something
